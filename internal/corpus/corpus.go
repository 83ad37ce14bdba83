package corpus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Where statements come from.
const (
	parserModule = "github.com/pingcap/tidb/pkg/parser" // at the version of go.mod
	engineModule = "github.com/dolthub/go-mysql-server"
	// engineVersion is fixed, so that a corpus is the same on every machine.
	engineVersion = "v0.20.0"
)

// Script is statements that belong together.
type Script struct {
	Source     string   // the module
	Name       string   // file, and the line where it begins
	SetUp      []string // to be run before, errors ignored: dialects differ
	Statements []string
	Flat       bool // the statements have nothing to do with each other
}

// ErrMissing is wrapped by the errors of sources that could not be had, as on a
// machine without network whose module cache lacks them.
var ErrMissing = errors.New("source of the corpus cannot be had")

// Load reads all sources. Those that cannot be had are left out, and named in
// the error, which wraps ErrMissing; the scripts of the others are returned
// beside it.
func Load(ctx context.Context) ([]Script, error) {
	parser, err1 := Parser(ctx)
	engine, err2 := Engine(ctx)
	return append(parser, engine...), errors.Join(err1, err2)
}

// Parser reads the statements in the tests of pingcap's parser.
func Parser(ctx context.Context) ([]Script, error) {
	dir, err := download(ctx, parserModule)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	var scripts []Script
	for _, file := range files {
		statements, err := looseStatements(file)
		if err != nil {
			return nil, err
		}
		if len(statements) > 0 {
			scripts = append(scripts, Script{Source: parserModule, Name: filepath.Base(file), Statements: statements, Flat: true})
		}
	}
	return scripts, nil
}

// Engine reads the scripts of dolthub's engine tests.
func Engine(ctx context.Context) ([]Script, error) {
	dir, err := download(ctx, engineModule+"@"+engineVersion)
	if err != nil {
		return nil, err
	}
	setUp, err := engineSetUp(filepath.Join(dir, "enginetest", "scriptgen", "setup", "setup_data.sg.go"))
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "enginetest", "queries", "*.go"))
	if err != nil {
		return nil, err
	}
	var scripts []Script
	for _, file := range files {
		more, err := engineScripts(file, setUp)
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, more...)
	}
	return scripts, nil
}

// download has the go command fetch a module, and returns its directory. A
// module given without version is the one of go.mod; one with version is not
// looked up in it, nor added.
func download(ctx context.Context, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := cmd.Run()
	var info struct{ Dir, Error string }
	if err := json.Unmarshal(stdout.Bytes(), &info); err != nil || info.Dir == "" {
		why := info.Error
		if why == "" {
			why = strings.TrimSpace(stderr.String())
		}
		return "", fmt.Errorf("%w: %s: %s (%w)", ErrMissing, module, why, errors.Join(runErr, err))
	}
	return info.Dir, nil
}
