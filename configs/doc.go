// Package configs reads, checks, compares and watches Bellwether's YAML
// configuration. It imports no other package of the project.
//
// # From a file to a Config
//
// [Load] starts from [Defaults], lays the file over it, checks everything and
// reports all that is wrong at once: [Errors], each with its line, column and
// key path. Unknown and repeated keys are errors. The file is walked as a tree
// of YAML nodes, so that every value's place is known; aliases and merge keys
// work, within a bound on what they expand to. Files that the configuration
// names (passwords, certificates) are read once, while it is loaded: a [Config]
// is one consistent state, and [Secret.Resolve] answers from it.
//
// Relative paths in a file are relative to the folder of that file.
//
// # Changing it
//
// [Diff] compares two configurations; a [Change] that is not Hot needs a
// restart. The [Watcher] follows the file and all that it names through
// fsnotify, on their folders rather than on the files: renames over the file,
// removed and recreated files, and swapped symbolic links (Kubernetes) are
// seen, and a slow poll catches what the file system does not report. A changed
// configuration is loaded whole. It is handed on, or, when it is wrong or would
// need a restart, rejected whole: the old one stays and [Status] says why.
//
// # Goroutines
//
// Only [Watcher.Run] runs anything, in the caller's goroutine. A Config is not
// changed after it was loaded and may be read from anywhere.
//
// # Secrets
//
// A [Secret] never shows its value: not through fmt, slog or JSON, nor in a
// Change.
package configs
