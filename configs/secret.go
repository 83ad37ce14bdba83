package configs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

const redacted = "[redacted]"

var (
	_ fmt.Formatter  = Secret{}
	_ slog.LogValuer = Secret{}
)

// IsSet reports whether a password is given in any way, an empty one in a file included.
func (s Secret) IsSet() bool { return s.Value != "" || s.File != "" || s.Env != "" }

// Resolve returns the password. A Secret of a loaded Config answers with what
// was found when it was loaded; another one reads its file (without the newline
// at its end) or its environment variable now. A Secret that is not set is empty.
func (s Secret) Resolve() (string, error) {
	if s.loaded {
		return s.text, nil
	}
	return s.read(&fileReader{})
}

// NewSecret returns a Secret with that value.
func NewSecret(value string) Secret { return Secret{Value: value} }

func (s Secret) read(files *fileReader) (string, error) {
	switch {
	case s.Value != "":
		return s.Value, nil
	case s.File != "":
		b, err := files.read(s.File, maxSecretFile)
		if err != nil {
			return "", err
		}
		text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if strings.ContainsAny(text, "\x00\n\r") {
			return "", fmt.Errorf("%s: a password file has one line of text", s.File)
		}
		return text, nil
	case s.Env != "":
		text, ok := os.LookupEnv(s.Env)
		if !ok {
			return "", fmt.Errorf("environment variable %s is not set", s.Env)
		}
		return text, nil
	}
	return "", nil
}

// resolve reads the secret and remembers it.
func (s *Secret) resolve(files *fileReader) error {
	text, err := s.read(files)
	if err != nil {
		return err
	}
	s.text, s.loaded = text, true
	return nil
}

// check says what is wrong with how the secret is given.
func (s Secret) check() error {
	n := 0
	for _, v := range []string{s.Value, s.File, s.Env} {
		if v != "" {
			n++
		}
	}
	if n > 1 {
		return errors.New("give one of password, password_file and password_env")
	}
	return nil
}

// Equal reports whether both are given in the same way with the same value.
func (s Secret) Equal(o Secret) bool {
	if s.hidden || o.hidden {
		return (s.Value != "") == (o.Value != "")
	}
	return s.Value == o.Value && s.File == o.File && s.Env == o.Env && (!s.loaded || !o.loaded || s.text == o.text)
}

// String says where the password comes from, and never what it is.
func (s Secret) String() string {
	switch {
	case s.Value != "":
		return redacted
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "environment variable " + s.Env
	}
	return ""
}

// Format keeps every verb of fmt from showing the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue keeps slog from showing the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps encoders from showing the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML keeps the YAML encoder from showing the value.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }
