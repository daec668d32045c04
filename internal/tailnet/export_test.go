package tailnet

import "time"

// SetSuspended replaces the clocks by which a sleep of the machine is noticed.
func (c *Client) SetSuspended(suspended func() time.Duration) { c.suspended = suspended }

// Suspended is what the clocks of this machine say.
func Suspended() time.Duration { return suspended() }
