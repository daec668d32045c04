// Package config turns a configuration file, and what outranks it, into one validated, immutable
// [Config], or into an [Error] that holds everything that is wrong with them.
//
//	c, err := config.Load("/etc/oauth-proxyd/oauth-proxyd.hcl",
//		config.Override{Attribute: "log.level", Value: "debug", Origin: "--log-level"})
//	if refused, ok := errors.AsType[*config.Error](err); ok {
//		refused.Print(term.NewPrinter(os.Stderr)) // every error with its line and how to fix it
//	}
//	for _, change := range config.Diff(before, c) { … } // what a reload would change
//
// A Config is plain data that the other packages read directly. Diff says which changes need a
// restart; until then, the caller keeps the old values.
//
// The file is HCL in its native syntax
// (https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md), of which only a small part is
// accepted: values are literals, not expressions, and nothing is converted, except a string for a
// list. A number in quotes is an error, and so is a duration without a unit. Every block and
// attribute is optional; an empty file is the default configuration.
//
// A setting is a field in config.go and a line in schema.go. That line binds the field to its name,
// type and bounds, and serves decoding, comparing and suggestions alike; tests hold the manual, the
// example and the shipped file to it. The path of a value through the package:
//
//	load.go       Load, Parse: reading the file
//	parse.go      text → syntax tree; refuses files whose shape would take too long
//	decode.go     syntax tree → literal values → attributes of schema.go
//	block.go      which names a block takes, and what an unknown one may mean
//	attribute.go  one name and its field: reading, bounds, spelling; then a file for each kind of
//	              value with rules of its own: units, address, upstream, certificate, source,
//	              identity, header, when
//	errors.go     what is wrong, with its source line
//	secret.go     what may be a credential, and is refused or not shown
//	warnings.go   what is probably a mistake, but can be used
//	words.go      quoting, and suggestions for mistyped words
//	diff.go       what differs between two Configs
//
// The daemon holds no credentials, so the configuration cannot either: URLs with a user name,
// values that look like a token, and rules for headers that carry credentials are refused.
package config
