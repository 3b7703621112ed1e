package peer

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// interpreters matches the programs that run a script named in their arguments, as far as such scripts call APIs.
var interpreters = regexp.MustCompile(`^(python|pypy|node|nodejs|deno|bun|ruby|perl|php|java|bash|sh|dash|zsh|ksh|fish|` +
	`busybox|Rscript|lua|tclsh|pwsh|dotnet|tsx|ts-node)[0-9.]*$`)

func isInterpreter(name string) bool { return interpreters.MatchString(name) }

// isHelper reports whether a program calls on behalf of the one that started it.
func isHelper(name string) bool {
	return slices.Contains([]string{"curl", "wget", "http", "https", "httpie", "xh", "hey", "ab", "xargs", "parallel", "timeout", "env",
		"nice", "nohup", "sudo", "setsid", "stdbuf", "watch"}, name)
}

// isGeneric reports whether many programs have a file of this name.
func isGeneric(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	return slices.Contains([]string{"main", "__main__", "index", "app", "server", "cli", "run", "manage", "start", "bot", "script"}, stem)
}

// baseName returns the program in the first argument. A process may have put a title there: "gunicorn: worker [app]".
func baseName(arg string) string {
	arg, _, _ = strings.Cut(arg, " ")
	if arg == "" {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSuffix(path.Base(arg), ":"), "-")
}

// scriptOf returns the script, module or archive that an interpreter runs, or "".
func scriptOf(args []string) string {
	if len(args) == 0 || !isInterpreter(baseName(args[0])) {
		return ""
	}
	options := optionsOf(strings.TrimRight(baseName(args[0]), "0123456789."))
	for i := 1; i < len(args); i++ {
		arg := args[i]
		switch {
		case options.names.MatchString(arg) && i+1 < len(args):
			return path.Base(args[i+1])
		case options.ends.MatchString(arg):
			return "" // the program is an argument, or comes from the terminal
		case options.values.MatchString(arg):
			i++
		case !strings.HasPrefix(arg, "-") && !options.skipped.MatchString(arg):
			return path.Base(arg)
		}
	}
	return ""
}

// options are the options of an interpreter that show where its script is.
type options struct {
	names   *regexp.Regexp // the script follows
	ends    *regexp.Regexp // there is none
	values  *regexp.Regexp // a value follows
	skipped *regexp.Regexp // no option, and no script
}

func optionsOf(interpreter string) options {
	pattern := func(names, ends, values, skipped string) options {
		compile := func(s string) *regexp.Regexp { return regexp.MustCompile(`^(` + s + `)$`) }
		return options{compile(names), compile(ends), compile(values), compile(skipped)}
	}
	const none = `\x00`
	switch interpreter {
	case "python", "pypy":
		return pattern(`-m`, `-c.*|-`, `-W|-X|-Q`, none)
	case "node", "nodejs", "tsx", "ts-node", "deno", "bun":
		return pattern(none, `-e|--eval|-p|--print|-`, `-r|--require|--import|--loader|--env-file|--config`, `run|exec|eval`)
	case "ruby", "perl", "lua", "tclsh", "Rscript":
		return pattern(none, `-[eE]|-`, `-I|-r|-C|-M`, none)
	case "java", "dotnet":
		return pattern(`-jar`, none, `-cp|-classpath|--class-path|-p|--module-path`, `run|exec`)
	case "php":
		return pattern(`-f`, `-r|-`, `-d|-c`, none)
	case "pwsh":
		return pattern(`-[Ff]ile`, `-[Cc]ommand`, none, none)
	}
	return pattern(none, `-[a-z]*c|-s|-`, `-[a-z]*o|-O|--rcfile|--init-file`, `sh|ash`) // a shell; busybox sh
}

// withDirectory returns a name that many programs have with its directory: billing/main.py.
func withDirectory(args []string, name, cwd string) string {
	for _, arg := range args {
		if path.Base(arg) != name {
			continue
		}
		if !path.IsAbs(arg) {
			arg = path.Join(cwd, arg)
		}
		if directory := path.Base(path.Dir(arg)); directory != "/" && directory != "." {
			return directory + "/" + name
		}
	}
	return name
}
