package logging_test

import "testing"

// TestHowToFind: only the native protocol of the journal has fields to search for.
func TestHowToFind(t *testing.T) {
	const unit = "journalctl -u oauth-proxyd"
	for _, row := range []struct{ format, command, key, value, want string }{
		{"journal", unit, "status", "403", "`journalctl -u oauth-proxyd HTTP_STATUS=403`"},
		{"journal", unit, "client", "claude-cli 2.1", "`journalctl -u oauth-proxyd CLIENT=\"claude-cli 2.1\"`"},
		{"journal", unit, "", "", "`journalctl -u oauth-proxyd`"},
		{"journal", "", "outcome", "overloaded", "`journalctl -t oauth-proxyd OUTCOME=overloaded`"},
		{"json", unit, "outcome", "overloaded", "`journalctl -u oauth-proxyd -g overloaded`"},
		{"json", unit, "client", "claude-cli 2.1", "`journalctl -u oauth-proxyd -g \"claude-cli 2.1\"`"},
		{"text", "", "outcome", "overloaded", "the lines of the log with outcome overloaded"},
		{"text", "", "", "", "the log"},
	} {
		c := startJournald(t).config()
		c.Format = row.format
		if got := start(t, c).HowToFind(row.command, row.key, row.value); got != row.want {
			t.Errorf("%s, %q, %q: %s, want %s", row.format, row.command, row.key, got, row.want)
		}
	}
}
