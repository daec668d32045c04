package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// nameKeySize is that of SHA-256's blocks of output, in bytes.
const nameKeySize = 32

// NameKeyFile holds the key of the hashes of log.identity = "hashed", in the StateDirectory= of
// the unit (systemd.exec(5)), which only the service and root can read. Whoever knows the key
// finds the name of a hash by trying names. A daemon that no unit starts has no such file.
func NameKeyFile() string {
	dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "identity.key")
}

var errNoStateDirectory = errors.New("there is no state directory: the unit of the service sets one (StateDirectory=), from its next restart on")

// loadNameKey gives the key that is kept, or one for this process alone: hashes that mean
// something until the next start are better than names, or no service.
func (d *daemon) loadNameKey() []byte {
	key, err := keptNameKey(d.options.NameKeyFile)
	if err != nil {
		d.log.Warn("the key of log.identity is for this process alone: after the next start, names get other hashes",
			"error", err)
		return newNameKey()
	}
	return key
}

func newNameKey() []byte {
	key := make([]byte, nameKeySize)
	_, _ = rand.Read(key) // never fails
	return key
}

// keptNameKey reads the key, and makes it at the first time.
func keptNameKey(file string) ([]byte, error) {
	if file == "" {
		return nil, errNoStateDirectory
	}
	key, err := readNameKey(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := makeNameKey(file); err != nil {
		return nil, fmt.Errorf("making %s: %w", file, err)
	}
	return readNameKey(file)
}

// readNameKey refuses a file that others had a hand in, or can read.
func readNameKey(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file; remove it, and a new key is made", file)
	case !ok || int(owner.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to another user than the daemon; remove it, and a new key is made", file)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s can be read by others, mode %v; remove it, and a new key is made", file, info.Mode().Perm())
	case info.Size() != nameKeySize:
		return nil, fmt.Errorf("%s has %d bytes, not %d; remove it, and a new key is made", file, info.Size(), nameKeySize)
	}
	key := make([]byte, nameKeySize)
	_, err = io.ReadFull(f, key)
	return key, err
}

// makeNameKey makes the file whole or not at all. If another process makes it at the same time,
// as in a hand-over, the first one counts for both.
func makeNameKey(file string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".identity.key.") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has another name by then, or is of no use
	_, err = f.Write(newNameKey())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
