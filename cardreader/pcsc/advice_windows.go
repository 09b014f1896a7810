package pcsc

const startAdvice = `start the service "Smart Card" (sc start SCardSvr)`
