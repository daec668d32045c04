// Package faketailscaled is a fake of the daemon of a Tailscale node: the calls of its local API
// that oauth-proxyd makes, with responses that a test changes. The tests of the command and the
// labs below internal/lab share it. internal/lab/tailnet shows what a real tailscaled does.
//
//	d := faketailscaled.New()
//	d.Serve(listener) // a Unix socket; tailscale.socket of the configuration
//	defer d.Close()
//	d.Become("NeedsLogin")
package faketailscaled
