package daemontest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// parallel is how many tests run at once. They mostly wait.
const parallel = "8"

// Main runs the tests of a package with the binary in their PATH, and looks for goroutines that
// they leave. It returns the exit code for TestMain.
func Main(m *testing.M) (code int) {
	dir, err := install()
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the temporary directory
	if err != nil {
		fmt.Fprintf(os.Stderr, "building the binary: %v\n", err)
		return 1
	}
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	if code = m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintf(os.Stderr, "goroutines after the last test: %v\n", err)
		return 1
	}
	return 0
}

// install builds the binary, and puts it and a fake systemctl into a directory that is first in
// PATH.
func install() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "op"); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // some tests run it as nobody
		return dir, err
	}
	if err := Build(filepath.Join(dir, "oauth-proxyd"), "v0.0.0-test"); err != nil {
		return dir, err
	}
	return dir, errors.Join(InstallSystemctl(dir), os.Setenv("PATH", dir+":"+os.Getenv("PATH")))
}

// Build builds the program in its own module, because a lab's module may have other versions of the
// dependencies. The build tags are those of TAGS, or else those of the test.
func Build(file, version string) error {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "oauth-proxyd").Output()
	if err != nil {
		return fmt.Errorf("looking for the module: %w", err)
	}
	build := exec.Command("go", "build", "-C", strings.TrimSpace(string(root)), "-tags", tags(),
		"-ldflags", "-X main.version="+version, "-o", file, "./cmd/oauth-proxyd")
	if os.Getenv("GOCOVERDIR") != "" { // make cover: the binary writes its coverage there
		build.Args = slices.Insert(build.Args, 4, "-cover", "-coverpkg=./...")
	}
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func tags() string {
	if named := os.Getenv("TAGS"); named != "" {
		return named
	}
	info, _ := debug.ReadBuildInfo() // a test has it
	i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-tags" })
	if i < 0 {
		return ""
	}
	return info.Settings[i].Value
}
