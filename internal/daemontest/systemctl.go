package daemontest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// unitFile has the output of the fake systemctl. It is in the RUNTIME_DIRECTORY of the caller.
const unitFile = "unit"

// InstallSystemctl writes a fake systemctl to a directory in the daemon's PATH. It prints what
// [Unit.Show] wrote last.
func InstallSystemctl(dir string) error {
	script := "#!/bin/sh\nexec cat \"$RUNTIME_DIRECTORY/" + unitFile + "\"\n"
	return os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o755) //nolint:gosec // any user runs it
}

// Unit is the service unit that the fake systemctl shows.
type Unit struct {
	Dir     string   // the RUNTIME_DIRECTORY
	Program string   // the path of ExecStart=
	Args    []string // the command line of ExecStart=
}

// Show makes systemctl show pid as the main process. other overrides properties of the shipped
// unit.
func (u Unit) Show(pid int, other map[string]string) error {
	properties := map[string]string{
		"LoadState": "loaded", "Type": "notify", "NotifyAccess": "main",
		"MainPID": strconv.Itoa(pid),
		"ExecStart": fmt.Sprintf("{ path=%s ; argv[]=%s ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }",
			u.Program, strings.Join(u.Args, " ")),
	}
	maps.Copy(properties, other)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", name, properties[name])
	}
	file := filepath.Join(u.Dir, unitFile)
	err := os.WriteFile(file+".new", []byte(text.String()), 0o644) //nolint:gosec // any user reads it
	return errors.Join(err, os.Rename(file+".new", file))
}
