package daemon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/tailnet"
)

// naming is how people and nodes are named in all that this process writes down or shows
// (log.identity): the log, STATUS=, /health and the admin socket. This node's own name and
// addresses are no secret of a client, and stay.
type naming struct {
	// name turns a name or an address into what stands for it; an empty result is left
	// out. nil: itself.
	name func(string) string
}

// namingOf is the naming of a mode of log.identity. The first that needs the key of the hashes
// makes it.
func (d *daemon) namingOf(mode string) naming {
	switch mode {
	case "none":
		return naming{func(string) string { return "" }}
	case "hashed":
		key := d.nameKey()
		return naming{func(name string) string { return hashName(key, name) }}
	default:
		return naming{}
	}
}

// withholds reports whether names are hidden.
func (n naming) withholds() bool { return n.name != nil }

// words is the text of an error about the tailnet. tailscaled's part of it can name anybody in
// any form, so it is left out where names are withheld.
func (n naming) words(err error) string {
	if n.withholds() {
		return tailnet.OwnWords(err)
	}
	return err.Error()
}

// warnings are the health warnings of tailscaled, for which the same holds.
func (n naming) warnings(all []string) []string {
	if !n.withholds() || len(all) == 0 {
		return all
	}
	return []string{fmt.Sprintf("%d health warnings, withheld by log.identity", len(all))}
}

// sender names who sent a request, and the narrowest entry of access.allow that is for them;
// empty: none is.
func (n naming) sender(id access.Identity) (name, entry string) {
	if id.Node == "" || n.withholds() {
		name = "source " + string(id.Source)
	}
	switch {
	case id.Source == access.Other:
		return name, ""
	case id.Source != config.Tailnet, n.withholds():
		return name, string(id.Source)
	case len(id.Tags) > 0:
		return id.Node + " (" + strings.Join(id.Tags, ", ") + ")", id.Tags[0]
	case id.User != "":
		return id.Node + " (" + id.User + ")", id.User
	default:
		return id.Node, "node:" + id.Node
	}
}

// unnamed is an error whose text is without the words of tailscaled.
type unnamed struct{ error }

// Error implements error.
func (e unnamed) Error() string { return tailnet.OwnWords(e.error) }

// Unwrap gives the error itself.
func (e unnamed) Unwrap() error { return e.error }

// hashName is the same for the same name and key.
func hashName(key []byte, name string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(name))
	const shown = 8 // bytes; enough to tell the nodes of a tailnet apart
	return hex.EncodeToString(mac.Sum(nil)[:shown])
}
