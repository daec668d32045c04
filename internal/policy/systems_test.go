package policy

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeHasTheSystemsThatAreTested: the README's table, which "make test-hosts" writes, has
// each release that the package is tested on and no other, and begins with the oldest systemd that
// the README and the packages ask for.
func TestReadmeHasTheSystemsThatAreTested(t *testing.T) {
	readme := text(t, "README.md")
	report(t, checkSystems(readme, text(t, "internal/lab/host/release.go")))
	_, oldest, _ := strings.Cut(readme, "with systemd ")
	oldest, _, _ = strings.Cut(oldest, " or later")
	if systems := systemsOf(readme); len(systems) > 0 && !strings.HasPrefix(systems[0].systemd, oldest+".") {
		t.Errorf("README.md asks for systemd %s or later, and its table begins with %s", oldest, systems[0].systemd)
	}
	if want := "systemd (>= " + oldest + ")"; !strings.Contains(text(t, "goreleaser.yaml"), want) {
		t.Errorf("goreleaser.yaml does not say %q", want)
	}
}

func TestOtherSystemsAreSeen(t *testing.T) {
	const releases = "debian(\"Debian 12\", \"bookworm\")\nubuntu(\"Ubuntu 24.04\", \"noble\")"
	const row = "| Debian 12 | 252.39-1 | 6.18 |\n"
	if found := checkSystems(row+"| Ubuntu 24.04 | 255.4-1ubuntu8 | 6.18 |\n", releases); len(found) != 0 {
		t.Errorf("the same systems are said to differ: %q", found)
	}
	for _, readme := range []string{row, row + "| Ubuntu 26.04 | 259.5-0 | 6.18 |\n", ""} {
		if len(checkSystems(readme, releases)) != 1 {
			t.Errorf("%q was not objected to", readme)
		}
	}
}

type system struct{ name, systemd string }

// systemsOf are the rows of the table.
func systemsOf(readme string) []system {
	var systems []system
	for _, found := range regexp.MustCompile(`(?m)^\| ((?:Debian|Ubuntu) \S+) \| (\S+) \| \S+ \|$`).FindAllStringSubmatch(readme, -1) {
		systems = append(systems, system{found[1], found[2]})
	}
	return systems
}

func checkSystems(readme, releases string) (objections []string) {
	var want, got []string
	for _, found := range regexp.MustCompile(`(?:debian|ubuntu)\("([^"]+)", "`).FindAllStringSubmatch(releases, -1) {
		want = append(want, found[1])
	}
	for _, s := range systemsOf(readme) {
		got = append(got, s.name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(want, got) {
		return []string{"README.md has the systems " + strings.Join(got, ", ") + ", tested are " + strings.Join(want, ", ") + "; make test-hosts writes the table"}
	}
	return nil
}
