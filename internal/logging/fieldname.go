package logging

import "strings"

const maxName = 64 // bytes; journald drops a field with a longer name

// fieldName makes the name of a journal field from the groups and the key of an attribute: upper case, joined by
// underscores, of the characters that journald takes, see systemd.journal-fields(7).
func fieldName(path []string) string {
	if len(path) == 1 {
		if name := knownName(path[0]); name != "" {
			return name
		}
	}
	name := strings.Map(fieldRune, strings.Join(path, "_"))
	switch {
	case name == "", name[0] == '_', name[0] >= '0' && name[0] <= '9':
		name = "X" + name
	case reserved(name):
		name = "X_" + name
	}
	return name[:min(len(name), maxName)]
}

// knownName is for the attributes of a request whose plain names would say too little in a journal shared by all.
func knownName(key string) string {
	switch key {
	case "method":
		return "HTTP_METHOD"
	case "path":
		return "HTTP_PATH"
	case "status":
		return "HTTP_STATUS"
	case "user":
		return "TS_USER"
	case "tags":
		return "TS_TAGS"
	}
	return ""
}

func fieldRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z':
		return r - 'a' + 'A'
	case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return r
	}
	return '_'
}

// reserved names mean something to journald or to its readers.
func reserved(name string) bool {
	switch name {
	case "MESSAGE", "MESSAGE_ID", "PRIORITY", "ERRNO", "DOCUMENTATION", "TID", "UNIT", "USER_UNIT", "INVOCATION_ID":
		return true
	}
	for _, prefix := range []string{"SYSLOG_", "OBJECT_", "CODE_", "COREDUMP_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// suffixed adds a suffix once, within the length that journald takes.
func suffixed(name, suffix string) string {
	name = strings.TrimSuffix(name, suffix)
	return name[:min(len(name), maxName-len(suffix))] + suffix
}
