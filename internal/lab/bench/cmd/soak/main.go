// Command soak lets oauth-proxyd live through a long day; package soak says how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"oauth-proxyd/internal/lab/bench/soak"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	program := flag.String("program", "bin/oauth-proxyd", "oauth-proxyd")
	duration := flag.Duration("duration", 2*time.Minute, "how long")
	clients := flag.Int("clients", 50, "how many clients at once")
	dir := flag.String("report", "bin/soak", "folder for the report and its plots")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := soak.Run(ctx, soak.Config{Program: *program, Duration: *duration, Clients: *clients, Idle: 3 * time.Second})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	return errors.Join(report.Write(os.Stdout), report.Plot(*dir), report.Err())
}
