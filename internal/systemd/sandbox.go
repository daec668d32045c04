package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// InService returns a command that runs a program with these arguments as a service of the system
// would: as its user, with its environment, and with what its sandbox shows of the files. It is nil
// where systemd does not run or does not know the service, and for a service of root. Only root may
// start it, see systemd-run(1).
func InService(ctx context.Context, service, program string, args ...string) (*exec.Cmd, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return nil, nil //nolint:nilnil // there is nothing to run
	}
	properties, err := viewOf(ctx, service)
	if err != nil || properties == nil {
		return nil, err
	}
	words := []string{"--quiet", "--pipe", "--wait", "--collect"}
	for _, p := range properties {
		words = append(words, "--property="+p)
	}
	c := exec.CommandContext(ctx, "systemd-run", append(append(words, "--", program), args...)...)
	c.WaitDelay = time.Second
	return c, nil
}

// viewOf gives the properties that decide which files a service can read, as systemd-run takes
// them; nil: it can read all.
func viewOf(ctx context.Context, service string) ([]string, error) {
	const names = "User,Group,SupplementaryGroups,Environment,PrivateTmp,ProtectHome,InaccessiblePaths,BindPaths,BindReadOnlyPaths,TemporaryFileSystem"
	c := exec.CommandContext(ctx, "systemctl", "show", "--no-pager", "--property="+names, service)
	c.WaitDelay = time.Second
	shown, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("asking systemd about %s: %w", service, err)
	}
	return parseView(string(shown)), nil
}

func parseView(shown string) (properties []string) {
	hasUser := false
	for line := range strings.Lines(shown) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if value != "" {
			properties = append(properties, name+"="+value)
		}
		hasUser = hasUser || name == "User" && value != "" && value != "root"
	}
	if !hasUser {
		return nil
	}
	return properties
}
