package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// aliases are names that other software uses for a key of ours.
var aliases = map[string]string{
	"servers": "cluster.nodes", "backends": "cluster.nodes", "hosts": "cluster.nodes", "nodes": "cluster.nodes",
	"username": "user", "pass": "password", "passwd": "password", "host": "address", "addr": "address",
	"bind": "listen.address", "port": "listen.address", "max_replication_lag": "routing.max_lag",
	"readonly": "role", "primary": "role", "master": "role", "metrics": "admin.address", "ssl": "tls",
	"loglevel": "log.level", "level": "log.level",
}

// suggestKey ends the message about an unknown key in the structure t at path.
func suggestKey(key, path string, t reflect.Type) string {
	keys := keysOf(t)
	if near := nearest(key, keys); near != "" {
		return fmt.Sprintf(": did you mean %s?", near)
	}
	if path != "" {
		if slices.Contains(keysOf(reflect.TypeFor[Config]()), key) {
			return fmt.Sprintf(": %s belongs at the top of the file", key)
		}
	}
	if to := aliases[strings.ToLower(key)]; to != "" {
		if !strings.Contains(to, ".") && slices.Contains(keys, to) || strings.Contains(to, ".") && path == "" {
			return fmt.Sprintf(": did you mean %s?", to)
		}
	}
	if places := findKey(key, reflect.TypeFor[Config](), ""); len(places) > 0 && len(places) <= 3 {
		return fmt.Sprintf(": did you mean %s?", strings.Join(places, " or "))
	}
	return fmt.Sprintf("; known here: %s", strings.Join(keys, ", "))
}

// findKey lists the paths, outside lists, whose last part is key.
func findKey(key string, t reflect.Type, path string) []string {
	var found []string
	for f := range t.Fields() {
		tag := f.Tag.Get("yaml")
		switch tag {
		case "", "-":
		case ",inline":
			found = append(found, findKey(key, f.Type, path)...)
		default:
			if tag == key {
				found = append(found, join(path, tag))
			}
			if f.Type.Kind() == reflect.Struct {
				found = append(found, findKey(key, f.Type, join(path, tag))...)
			}
		}
	}
	return found
}

// nearest is the known word that s is most likely a misspelling of, or "".
func nearest(s string, known []string) string {
	if len(s) > 64 {
		return ""
	}
	best, bestDistance := "", 1+max(1, len(s)/3)
	fold := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	for _, k := range known {
		if len(s) > 2 && len(k) > 2 && (strings.HasPrefix(s, k) || strings.HasPrefix(k, s)) {
			return k
		}
		if d := editDistance(fold(s), fold(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements between a and b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
