package doctor

import (
	"cmp"
	"context"
	"errors"
	"io/fs"

	"oauth-proxyd/internal/config"
)

func checkConfig(ctx context.Context, x *facts) []Finding {
	settings, err := x.Load()
	x.settings = settings
	switch {
	case errors.Is(err, fs.ErrPermission):
		return []Finding{unknown("this user may not read %s", x.File).fix(asRoot)}
	case err != nil:
		x.refused = true
		f := fail("%v", err)
		if e, is := errors.AsType[*config.Error](err); is {
			f = f.fix(cmp.Or(e.Diagnostics()[0].Detail, "see the manual: man 5 oauth-proxyd.hcl"))
		}
		return []Finding{f.fix("oauth-proxyd check --config " + x.File)}
	}
	found := []Finding{ok("%s is valid", x.File)}
	for _, text := range settings.Warnings() {
		found = append(found, warn("%s", text).fix("oauth-proxyd reload   # once "+x.File+" is changed"))
	}
	return append(found, x.pending(ctx)...)
}

// pending reports that the running daemon has not applied its file.
func (x *facts) pending(ctx context.Context) []Finding {
	if x.daemon == nil {
		return nil
	}
	o, err := x.Daemon.Reload(ctx, true)
	switch {
	case err != nil:
		return []Finding{unknown("the running daemon did not say whether it has applied the file: %v", err)}
	case o.Refused() || len(o.Changes) > 0:
		return []Finding{warn("the running daemon has not applied its configuration file").
			fix("oauth-proxyd reload --dry-run   # shows what would change, or why it would be refused", "oauth-proxyd reload")}
	}
	return nil
}
