package host

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// keyringSuite is the release of Debian that has Ubuntu's keys among its packages, which Debian's
// own keys vouch for.
const keyringSuite = "trixie"

// ubuntuKeyring is where that package has them.
const ubuntuKeyring = "usr/share/keyrings/ubuntu-archive-keyring.gpg"

// debootstrapArgs is the command line that makes a release.
func (r Release) debootstrapArgs(ctx context.Context, root string, log io.Writer) ([]string, error) {
	args := []string{
		"--force-check-gpg", "--variant=minbase", "--components=" + r.vendor.components, "--include=" + strings.Join(r.packages, ","),
	}
	if r.vendor.label == "Ubuntu" {
		keyring, err := openUbuntuKeyring(ctx, log)
		if err != nil {
			return nil, fmt.Errorf("finding Ubuntu's keys: %w", err)
		}
		args = append(args, "--keyring="+keyring)
	}
	mirror, err := mirrorOf(ctx, r)
	if err != nil {
		return nil, err
	}
	args = append(args, r.Suite, root, mirror)
	if r.vendor.script != "" {
		args = append(args, filepath.Join("/usr/share/debootstrap/scripts", r.vendor.script))
	}
	return args, nil
}

func openUbuntuKeyring(ctx context.Context, log io.Writer) (string, error) {
	release, err := ReleaseOf(keyringSuite)
	if err != nil {
		return "", err
	}
	image, err := OpenImage(ctx, release, log)
	return filepath.Join(image.root, ubuntuKeyring), err
}

// mirrorOf is where this machine's own apt gets that distribution from, or a folder of it beside
// another distribution's. Empty stands for debootstrap's default.
func mirrorOf(ctx context.Context, r Release) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(SITE) $(LABEL)", "Created-By: Packages", "Component: main").Output()
	if err != nil {
		return "", fmt.Errorf("asking apt for its mirror: %w", err)
	}
	var beside string
	for line := range strings.Lines(string(out)) {
		site, label, _ := strings.Cut(strings.TrimSpace(line), " ")
		if label == r.vendor.label {
			return site, nil
		}
		if parent, folder := path.Split(site); folder == "debian" || folder == "ubuntu" {
			beside = parent + r.vendor.folder
		}
	}
	if beside != "" && isMirrorOf(ctx, beside, r.Suite) {
		return beside, nil
	}
	return "", nil
}

// isMirrorOf looks for what debootstrap begins with.
func isMirrorOf(ctx context.Context, site, suite string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, site+"/dists/"+suite+"/InRelease", http.NoBody)
	if err != nil {
		return false
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
