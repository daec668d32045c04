// Package faketailscaled stands in for the daemon of a Tailscale node: the calls of
// its local API that oauth-proxyd makes, with answers that change as a test wants. The
// tests of the command and the labs below internal/lab share it; what is shipped does
// not import it. What a real tailscaled does is internal/lab/tailnet's to prove.
//
//	d := faketailscaled.New()
//	d.Serve(listener) // a Unix socket; tailscale.socket of the configuration
//	defer d.Close()
//	d.Become("NeedsLogin")
package faketailscaled
