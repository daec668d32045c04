package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Image is the root file system of a release that hosts are booted from. It is shared and never
// written to.
type Image struct {
	release Release
	cache   string // the folder of everything below
	root    string
}

// OpenImage finds the image of a release in the user's cache folder, or makes it, which takes a
// minute and a mirror of the distribution. What it is made of is part of its name, so that a
// changed list of packages makes another one. Progress is written to log.
//
// It needs root and debootstrap. Two processes that want it make it once.
func OpenImage(ctx context.Context, release Release, log io.Writer) (Image, error) {
	image, err := imageOf(release)
	if err != nil {
		return Image{}, err
	}
	if err := os.MkdirAll(image.mountPoint(), 0o755); err != nil {
		return Image{}, fmt.Errorf("making the cache: %w", err)
	}
	unlock, err := lock(image.root + ".lock")
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	if image.exists() {
		return image, nil
	}
	return image, image.build(ctx, log)
}

// Made says whether the image of a release is there already.
func Made(release Release) (bool, error) {
	image, err := imageOf(release)
	return err == nil && image.exists(), err
}

func imageOf(release Release) (Image, error) {
	caches, err := os.UserCacheDir()
	if err != nil {
		return Image{}, fmt.Errorf("finding the cache: %w", err)
	}
	cache := filepath.Join(caches, "oauth-proxyd", "host")
	return Image{release, cache, filepath.Join(cache, imageName(release))}, nil
}

// imageName is the same for images with the same content, as far as that is ours to say.
func imageName(r Release) string {
	sum := sha256.Sum256([]byte(r.Suite + " " + strings.Join(r.packages, " ")))
	return fmt.Sprintf("%s-%x", r.Suite, sum[:6])
}

func (i Image) exists() bool {
	_, err := os.Stat(i.root)
	return err == nil
}

// mountPoint is where each host, in a mount namespace of its own, has its root.
func (i Image) mountPoint() string { return filepath.Join(i.cache, "mnt") }

// lock waits for other processes that make the same image.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the image: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking the image: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// build makes the image beside its place and renames it, so that one that was interrupted is never
// taken for a whole.
func (i Image) build(ctx context.Context, log io.Writer) error {
	draft := i.root + ".draft"
	if err := os.RemoveAll(draft); err != nil { // of an interrupted run
		return fmt.Errorf("removing an unfinished image: %w", err)
	}
	args, err := i.release.debootstrapArgs(ctx, draft, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "making a host of %s with debootstrap: a minute or two, once\n", i.release.Name)
	if err := debootstrap(ctx, draft, args, log); err != nil {
		return fmt.Errorf("making a host of %s: %w", i.release.Name, err)
	}
	if err := os.Rename(draft, i.root); err != nil {
		return fmt.Errorf("keeping the image: %w", err)
	}
	return nil
}

// debootstrap mounts things in what it makes, as a child, so that they go with it.
func debootstrap(ctx context.Context, root string, args []string, log io.Writer) error {
	out, err := os.Create(root + ".log")
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-euc", `mount -t proc proc /proc; exec debootstrap "$@"`, "sh"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	c, err := startChild(cmd)
	if err != nil {
		return fmt.Errorf("starting debootstrap: %w", err)
	}
	<-c.ended
	if c.err != nil {
		fmt.Fprintf(log, "what debootstrap said is in %s\n", out.Name())
		return fmt.Errorf("debootstrap: %w", c.err)
	}
	return tidy(root)
}

// disabled are units that packages have the image start at boot: nginx would hold port 80.
const disabled = "etc/systemd/system/multi-user.target.wants/nginx.service"

// tidy makes of one installed system something to boot many from: each host gets a machine id of
// its own (machine-id(5)), and the packages are no longer needed.
func tidy(root string) error {
	for _, name := range []string{"var/cache/apt/archives", disabled} {
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			return fmt.Errorf("tidying the image: %w", err)
		}
	}
	for name, content := range map[string]string{
		"etc/machine-id": "",
		"etc/hostname":   "lab\n",
		"etc/hosts":      "127.0.0.1 localhost lab\n::1 localhost lab\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil { //nolint:gosec // all in the host read them
			return fmt.Errorf("tidying the image: %w", err)
		}
	}
	return nil
}
