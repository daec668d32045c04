package host

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cgroupPrefix begins the names of the hosts' control groups; the id of the process that they
// belong to follows.
const cgroupPrefix = "oauth-proxyd-host-"

// makeCgroups makes a control group for one host below those of this process, in the hierarchies
// that systemd uses: without it, two hosts would share the one that systemd-nspawn makes. It has
// the same name in all of them, as systemd wants it.
func makeCgroups() ([]string, error) {
	parents, err := ownCgroups()
	if err != nil {
		return nil, fmt.Errorf("finding the control group of this process: %w", err)
	}
	name := fmt.Sprintf("%s%d-%s", cgroupPrefix, os.Getpid(), rand.Text())
	var made []string
	for _, parent := range parents {
		if err := sweepCgroups(parent); err != nil {
			return nil, err
		}
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("making a control group: %w", err), removeCgroups(made))
		}
		made = append(made, dir)
	}
	return made, nil
}

// sweepCgroups removes the empty groups that a killed process left: of a host, only they outlive
// it.
func sweepCgroups(parent string) error {
	groups, err := filepath.Glob(filepath.Join(parent, cgroupPrefix+"*"))
	if err != nil {
		return fmt.Errorf("looking for old control groups: %w", err)
	}
	for _, group := range groups {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(group), cgroupPrefix), "-")
		if _, err := os.Stat("/proc/" + owner); errors.Is(err, fs.ErrNotExist) {
			_ = removeCgroups([]string{group}) // another process may have been faster
		}
	}
	return nil
}

// ownCgroups are the folders of this process's group in version 2 and in systemd's own hierarchy of
// version 1 (cgroups(7)).
func ownCgroups() ([]string, error) {
	f, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var dirs []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		_, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		for _, mount := range cgroupMounts(controllers) {
			if dir := filepath.Join(mount, path); isCgroup(dir) {
				dirs = append(dirs, dir)
				break
			}
		}
	}
	return dirs, lines.Err()
}

// cgroupMounts are the places where systemd mounts such a hierarchy.
func cgroupMounts(controllers string) []string {
	switch controllers {
	case "":
		return []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}
	case "name=systemd":
		return []string{"/sys/fs/cgroup/systemd"}
	}
	return nil
}

func isCgroup(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "cgroup.procs"))
	return err == nil
}

// removeCgroups removes groups without processes, and what the host made in them.
func removeCgroups(groups []string) error {
	var errs []error
	for _, group := range groups {
		var dirs []string
		err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		errs = append(errs, err)
		for _, dir := range slices.Backward(dirs) {
			errs = append(errs, os.Remove(dir))
		}
	}
	return errors.Join(errs...)
}
