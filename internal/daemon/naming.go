package daemon

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/tailnet"
)

// naming is how the log, STATUS=, /health and the admin socket name people and nodes, as
// log.identity says. The name and the addresses of this node are always shown.
type naming struct {
	// name returns what is shown instead of a name or an address; empty: nothing is. nil: names are
	// shown.
	name func(string) string
}

// withholds reports whether names are hidden or hashed.
func (n naming) withholds() bool { return n.name != nil }

// hide removes the words of tailscaled from an error if names are withheld, because they can name a
// person in any form.
func (n naming) hide(err error) error {
	if err != nil && n.withholds() {
		return errors.New(tailnet.OwnWords(err))
	}
	return err
}

// warnings returns the health warnings of tailscaled, or their number if names are withheld.
func (n naming) warnings(all []string) []string {
	if !n.withholds() || len(all) == 0 {
		return all
	}
	return []string{fmt.Sprintf("%d health warnings, withheld by log.identity", len(all))}
}

// sender returns the name of the sender of a request, and the narrowest entry of an access list
// that admits the sender; empty: there is none, or it is withheld.
func (n naming) sender(id access.Identity) (name, entry string) {
	switch {
	case id.Source == access.Other, id.Source == config.Tailnet && n.withholds():
		return "source " + string(id.Source), ""
	case id.Source != config.Tailnet:
		return "source " + string(id.Source), string(id.Source)
	case len(id.Tags) > 0:
		return id.Node + " (" + strings.Join(id.Tags, ", ") + ")", id.Tags[0]
	}
	return strings.TrimSuffix(id.Node+" ("+id.User+")", " ()"), "node:" + id.Node
}

// newNaming returns the naming of each value of log.identity, safe for concurrent use. It reads or
// makes the key of the hashes in dir when it is first needed. If that fails, the key is temporary:
// such hashes are better than names, or no service.
func newNaming(dir string, log *slog.Logger) func(identity string) naming {
	key := sync.OnceValue(func() []byte {
		key, err := keptKey(dir)
		if err != nil {
			log.Warn("the hash key of log.identity is temporary: after the next start, names get different hashes",
				"error", err)
			return newKey()
		}
		return key
	})
	return func(identity string) naming {
		switch identity {
		case "none":
			return naming{func(string) string { return "" }}
		case "hashed":
			key := key()
			return naming{func(name string) string { return hashName(key, name) }}
		default:
			return naming{}
		}
	}
}

// hashName returns a keyed hash of the name. Case does not matter, as in the queue.
func hashName(key []byte, name string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.ToLower(name)))
	const shown = 8 // bytes; enough to tell the nodes of a tailnet apart
	return hex.EncodeToString(mac.Sum(nil)[:shown])
}

// keyFile holds the key of the hashes, in the StateDirectory= of the unit (systemd.exec(5)), which
// only the service and root can read. Anyone who knows the key finds the name of a hash by trying
// names.
const (
	keyFile = "identity.key"
	keySize = sha256.Size
)

func newKey() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	return key
}

// keptKey reads the key, and makes it the first time. It refuses a key that other users can read,
// or of another size.
func keptKey(dir string) ([]byte, error) {
	if dir == "" {
		return nil, errors.New("there is no state directory: the unit of the service sets one (StateDirectory=), from its next restart on")
	}
	file := filepath.Join(dir, keyFile)
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeKey(file)
	case err != nil:
		return nil, err
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is readable by others (mode %v); remove it, and the daemon makes a new key", file, info.Mode().Perm())
	case info.Size() != keySize:
		return nil, fmt.Errorf("%s has %d bytes, not %d; remove it, and the daemon makes a new key", file, info.Size(), keySize)
	}
	return os.ReadFile(file)
}

// makeKey writes a new key atomically.
func makeKey(file string) (key []byte, err error) {
	key, written := newKey(), file+".new"
	if err = os.WriteFile(written, key, 0o600); err == nil {
		err = os.Rename(written, file)
	}
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", file, err)
	}
	return key, nil
}
