package connectwise

import "context"

const statusesPath = "/sales/opportunities/statuses"

// readStatuses reads which statuses of opportunities count as won. Their names are the MSP's own, so only the table can say.
func (c *Connector) readStatuses(ctx context.Context, op string) error {
	won := map[string]bool{}
	_, err := c.all(ctx, search{path: statusesPath, op: op, record: "(read the statuses)"}, func(o object, _ []byte) error {
		won[textOf(o["id"])] = o["wonFlag"] == true
		return nil
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.won = won
	return nil
}

// followsOffers reports that opportunities are wanted: most installations turn no quotes into orders, and need not ask for them.
func (c *Connector) followsOffers() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offers
}

// knowStatus reads the statuses when an opportunity has one that was not seen before.
func (c *Connector) knowStatus(ctx context.Context, op string, o object) error {
	c.mu.Lock()
	_, known := c.won[statusOf(o)]
	c.mu.Unlock()
	if known {
		return nil
	}
	return c.readStatuses(ctx, op)
}

func (c *Connector) isWon(o object) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.won[statusOf(o)]
}

func statusOf(o object) string { return textOf(walk(o, "status/id")) }
