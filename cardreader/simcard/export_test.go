package simcard

// Counter returns the transaction counter of the first application.
func Counter(c *Card) uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Applications[0].ATC
}
