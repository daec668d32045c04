package main

import (
	"fmt"
	"strings"
)

// bashScript needs nothing but bash itself.
func bashScript(c completed) string {
	var b strings.Builder
	b.WriteString("# bash completion for oauth-proxyd, made by: oauth-proxyd completion bash\n" +
		"_oauth_proxyd() {\n" +
		"\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} words=\n" +
		"\tif ((COMP_CWORD == 1)) && [[ $word != -* ]]; then\n")
	fmt.Fprintf(&b, "\t\twords=%q\n\telse\n", strings.Join(c.names(), " "))
	b.WriteString("\t\t[[ $command == -* ]] && command=serve\n\t\tcase $command$before in\n")
	for _, command := range c {
		for _, o := range command.options {
			if o.value == "FILE" {
				fmt.Fprintf(&b, "\t\t%s--%s) mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); compopt -o filenames 2>/dev/null; return ;;\n", command.name, o.name)
			} else if o.value != "" {
				fmt.Fprintf(&b, "\t\t%s--%s) words=%q ;;\n", command.name, o.name, strings.Join(o.words, " "))
			}
		}
		fmt.Fprintf(&b, "\t\t%s*) words=%q ;;\n", command.name, strings.Join(bashWords(command), " "))
	}
	b.WriteString("\t\tesac\n\tfi\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\ncomplete -F _oauth_proxyd oauth-proxyd\n")
	return b.String()
}

// bashWords are what may follow a command: its argument, or else its options.
func bashWords(c completedCommand) []string {
	if len(c.words) > 0 {
		return c.words
	}
	words := make([]string, len(c.options))
	for i, o := range c.options {
		words[i] = "--" + o.name
	}
	return words
}

// zshScript is a file for a folder of $fpath; it can be evaluated, too.
func zshScript(c completed) string {
	var b strings.Builder
	b.WriteString("#compdef oauth-proxyd\n# made by: oauth-proxyd completion zsh\n" +
		"_oauth_proxyd() {\n\tlocal command=$words[2]\n" +
		"\tif (( CURRENT == 2 )) && [[ $command != -* ]]; then\n\t\tlocal -a commands\n\t\tcommands=(\n")
	for _, command := range c {
		fmt.Fprintf(&b, "\t\t\t%s\n", quote(command.name+":"+command.summary))
	}
	b.WriteString("\t\t)\n\t\t_describe command commands\n\t\treturn\n\tfi\n" +
		"\tif [[ $command == -* ]]; then\n\t\tcommand=serve\n\telse\n\t\tshift words\n\t\t(( CURRENT-- ))\n\tfi\n\tcase $command in\n")
	for _, command := range c {
		fmt.Fprintf(&b, "\t%s)\n\t\t_arguments", command.name)
		for _, o := range command.options {
			fmt.Fprintf(&b, " \\\n\t\t\t%s", quote(zshOption(o)))
		}
		if len(command.words) > 0 {
			fmt.Fprintf(&b, " \\\n\t\t\t%s", quote("1:argument:("+strings.Join(command.words, " ")+")"))
		}
		b.WriteString("\n\t\t;;\n")
	}
	// Autoloaded, the file is the function's body; evaluated, it defines it.
	b.WriteString("\tesac\n}\nif [[ $funcstack[1] == _oauth-proxyd ]]; then\n\t_oauth_proxyd \"$@\"\nelse\n\tcompdef _oauth_proxyd oauth-proxyd\nfi\n")
	return b.String()
}

// zshOption is a specification of _arguments, zshcompsys(1).
func zshOption(o completedOption) string {
	summary := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(o.summary)
	switch {
	case o.value == "":
		return fmt.Sprintf("--%s[%s]", o.name, summary)
	case o.value == "FILE":
		return fmt.Sprintf("--%s=[%s]:%s:_files", o.name, summary, o.value)
	default:
		return fmt.Sprintf("--%s=[%s]:%s:(%s)", o.name, summary, o.value, strings.Join(o.words, " "))
	}
}

func fishScript(c completed) string {
	var b strings.Builder
	b.WriteString("# fish completion for oauth-proxyd, made by: oauth-proxyd completion fish\ncomplete -c oauth-proxyd -f\n")
	line := func(condition, rest string) {
		fmt.Fprintf(&b, "complete -c oauth-proxyd -n %s %s\n", quote(condition), rest)
	}
	for _, command := range c {
		line("__fish_use_subcommand", fmt.Sprintf("-a %s -d %s", command.name, quote(command.summary)))
	}
	for _, o := range c.serve().options {
		line("__fish_use_subcommand", fishOption(o))
	}
	for _, command := range c {
		given := "__fish_seen_subcommand_from " + command.name
		for _, o := range command.options {
			line(given, fishOption(o))
		}
		if len(command.words) > 0 {
			line(given, "-a "+quote(strings.Join(command.words, " ")))
		}
	}
	return b.String()
}

func fishOption(o completedOption) string {
	option := fmt.Sprintf("-l %s -d %s", o.name, quote(o.summary))
	switch {
	case o.value == "":
		return option
	case o.value == "FILE":
		return option + " -r -F"
	default:
		return option + " -x -a " + quote(strings.Join(o.words, " "))
	}
}

// quote is understood by zsh and fish.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'"'"'`) + "'"
}
