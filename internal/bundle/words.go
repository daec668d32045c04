package bundle

import (
	_ "embed"
	"strings"
)

// programWords are the words of all texts of this program, one a line. TestWordsAreTheProgramsOwn
// makes the list.
//
//go:embed words.txt
var programWords string

// hostWords are those of systemd, the kernel, the Go libraries and the names of distributions. The
// list is written by hand.
//
//go:embed hostwords.txt
var hostWords string

func ownWords() map[string]bool {
	words := make(map[string]bool)
	for _, word := range append(strings.Fields(programWords), strings.Fields(hostWords)...) {
		words[word] = true
	}
	return words
}
