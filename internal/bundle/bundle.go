// Package bundle puts what a bug report needs into one archive, without credentials, bodies and
// names.
//
//	a := bundle.New()
//	a.Add("status.json", "the output of status --json", status, err)
//	a.AddJournal("journal.txt", "the last hour of the journal", lines, err)
//	fmt.Print(a.Contents())              // what is in it, before anything is written
//	err := a.Write(file, time.Now())     // a tar.gz
//
// A list of what credentials look like is never complete, so the [Filter] works the other way
// round: only words that this program itself prints, numbers, times and loopback addresses pass.
// Everything else becomes a numbered placeholder, the same one throughout the archive.
//
// Reading order: bundle.go has the archive, journal.go the journal, and filter.go what passes.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Archive is what is written, all of it filtered.
type Archive struct {
	filter  *Filter
	members []member
}

type member struct {
	name, about, content string
}

// New returns an empty archive.
func New() *Archive { return &Archive{filter: NewFilter()} }

// Add adds v as JSON. If it could not be read, err says why.
func (a *Archive) Add(name, about string, v any, err error) {
	if err != nil {
		a.addMissing(name, err)
		return
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(a.filter.value("", decoded(v))) // what was decoded can be encoded
	a.members = append(a.members, member{name, about, text.String()})
}

// decoded returns v as maps, lists, texts and numbers.
func decoded(v any) (plain any) {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	_ = decoder.Decode(&plain) // it is valid
	return plain
}

func (a *Archive) addMissing(name string, err error) {
	why := "missing: " + a.filter.Text(strings.ReplaceAll(err.Error(), "\n", "; "))
	a.members = append(a.members, member{name, why, why + "\n"})
}

// Contents lists the files with their sizes, and says what is not in them.
func (a *Archive) Contents() string {
	var list strings.Builder
	for _, m := range a.members {
		fmt.Fprintf(&list, "%8d  %-14s %s\n", len(m.content), m.name, m.about)
	}
	return list.String() + "The archive has only words of oauth-proxyd, numbers, times, loopback addresses and networks.\n" +
		"A placeholder, such as text-1, replaces any other text: names, addresses and IDs too.\n"
}

// Write writes a tar.gz that begins with the contents.
func (a *Archive) Write(w io.Writer, now time.Time) error {
	compressed := gzip.NewWriter(w)
	archive := tar.NewWriter(compressed)
	for _, m := range append([]member{{name: "CONTENTS", content: a.Contents()}}, a.members...) {
		header := &tar.Header{Name: "oauth-proxyd-bundle/" + m.name, Mode: 0o600, Size: int64(len(m.content)), ModTime: now}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.WriteString(archive, m.content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return compressed.Close()
}
