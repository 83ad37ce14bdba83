// Package configs reads, checks, compares and watches Bellwether's YAML
// configuration. It imports no other package of the project.
package configs
