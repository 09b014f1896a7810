package pcsc

const startAdvice = "plug a reader in: the system starts the service with it"
