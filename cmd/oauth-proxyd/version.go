package main

import (
	"flag"
	"fmt"
	"runtime"
)

// printVersion shows what this program is.
func printVersion(e env, args []string) int {
	flags := flag.NewFlagSet("version", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "print it as JSON")
	if exit, done := e.parse(flags, "[--json]", args); done {
		return exit
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if !*asJSON {
		fmt.Fprintf(e.stdout, "oauth-proxyd %s (%s, %s)\n", version, runtime.Version(), platform)
		return exitOK
	}
	ok := e.printJSON(struct {
		Version  string `json:"version"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{version, runtime.Version(), platform})
	if !ok {
		return exitFailure
	}
	return exitOK
}
