// Package bundle puts what a report of a fault needs into one archive, from which every credential
// is removed, and every name where the configuration withholds names.
//
//	scrub := bundle.NewScrubber(withhold, names)
//	a := bundle.New(scrub, []bundle.Member{{Name: "status.json", About: "…", Content: text}, …})
//	fmt.Print(a.Contents())              // what is in it, before anything is written
//	err := a.Write(file, time.Now())     // a tar.gz
//
// All text goes through the one [Scrubber], whatever its source promises: the journal, for
// instance, may have names from before log.identity was set. A source that could not be read is a
// member without content that says why.
package bundle

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"time"
)

// Member is one file of the archive.
type Member struct {
	Name    string
	About   string // what it is, in a few words
	Content string
	Missing error // why there is no content; nil: there is
}

// Archive is what is written, all of it scrubbed.
type Archive struct {
	withholds bool
	members   []Member
}

// maxMember is how much of a source is kept, in bytes: its end, which is the latest of a journal.
const maxMember = 2 << 20

// New scrubs the members.
func New(s *Scrubber, members []Member) *Archive {
	a := &Archive{withholds: s.withholds}
	for _, m := range members {
		s.Learn(tail(m.Content))
	}
	for _, m := range members {
		if m.Missing != nil {
			m.Content = "missing: " + strings.ReplaceAll(m.Missing.Error(), "\n", "; ") + "\n" + m.Content
		}
		m.Content = s.Scrub(tail(m.Content))
		a.members = append(a.members, m)
	}
	return a
}

// tail is the end of a text, from the beginning of a line.
func tail(text string) string {
	if len(text) <= maxMember {
		return text
	}
	_, text, _ = strings.Cut(text[len(text)-maxMember:], "\n")
	return "(the beginning is left out)\n" + text
}

// Contents lists the members with their sizes, and says what is not in them.
func (a *Archive) Contents() string {
	var list strings.Builder
	for _, m := range a.members {
		about := m.About
		if m.Missing != nil {
			about, _, _ = strings.Cut(m.Content, "\n")
		}
		fmt.Fprintf(&list, "%8d  %-14s %s\n", len(m.Content), m.Name, about)
	}
	list.WriteString("Credentials are removed.\n")
	if a.withholds {
		list.WriteString("Names and addresses are replaced, each by the same word throughout, as log.identity wants it.\n")
	} else {
		list.WriteString("Names and addresses of people and nodes are in it: log.identity is \"full\".\n")
	}
	return list.String()
}

// Write writes a tar.gz that begins with the contents.
func (a *Archive) Write(w io.Writer, now time.Time) error {
	compressed := gzip.NewWriter(w)
	archive := tar.NewWriter(compressed)
	for _, m := range append([]Member{{Name: "CONTENTS", Content: a.Contents()}}, a.members...) {
		header := &tar.Header{Name: "oauth-proxyd-bundle/" + m.Name, Mode: 0o600, Size: int64(len(m.Content)), ModTime: now}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.WriteString(archive, m.Content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return compressed.Close()
}
