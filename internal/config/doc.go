// Package config turns a configuration file and the overrides of command line
// and environment into one validated, immutable [Config], or into an [Error]
// that holds everything that is wrong with them.
//
// The file is HCL in its native syntax
// (https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md): blocks of
// name = value lines. Values are written out: no expression of HCL is evaluated.
// Nothing is converted either: a number in quotes is an error, and so is a
// duration without a unit. Unknown names, second blocks, empty and absurd values
// are errors too, with a suggestion where one can be made. Every block and
// attribute may be left out; an empty file is the default configuration.
//
// Whatever the file holds, reading it and saying what is wrong with it takes less
// than a second: what would take longer is refused by its size and shape.
//
// The names, their defaults and their bounds are in schema.go and nowhere
// else. One way through it decodes ([Parse]), another compares ([Diff]), and a
// test holds the shipped file and the example to it.
//
//	load.go       a file (read.go) and what outranks it, to a Config (config.go)
//	bounds.go     which shapes of a file are refused before it is parsed
//	parse.go      text to HCL's tree; decode.go: the tree, by the schema, to fields;
//	              literal.go: to values
//	attribute.go  one name bound to one field: how it is read, bounded and written
//	syntax.go     what makes a host name, a port, a word that may be printed
//	units.go      durations, sizes and counts; then a file for each kind of value that
//	              has rules of its own: upstream.go, proxylist.go, listen.go, cafile.go
//	              (certificate.go), source.go, origin.go, header.go, when.go
//	check.go      values that are good each by itself
//	findings.go   what is wrong, in words (words.go); errors.go and text.go: how it is
//	              shown; mask.go: without what may be a credential
//	diff.go       what a reload would change
//
// The daemon holds no credentials, so the configuration cannot either: URLs
// with a user name, header values and prefixes that look like a token, and
// rules for headers that carry credentials are refused. What may be a
// credential is masked in each message and in each line of source shown, also
// where the line could not be parsed.
//
// A [Config] says what is wanted, not what is: [Diff] names the changes that
// need a restart, and it is for the caller to keep what it runs with.
package config
