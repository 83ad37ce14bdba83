package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/bellwetherdb/bellwether/internal/gtid"
)

// Providers of servers.
const (
	Process = "process"
	Docker  = "docker"
)

// Options say what cluster a test wants. The zero value is MariaDB 10.11 (the
// first of BELLWETHER_FLAVORS), as processes, without followers.
type Options struct {
	Provider  string // Process or Docker
	Flavor    string // mariadb-10.11, mariadb-11.8, mysql-9.7
	Followers int

	Durable           bool // sync at every commit
	PerformanceSchema bool
	Engine            bool     // nobody replicates; Config lets Bellwether do it
	TLS               bool     // the nodes have certificates of Cluster.Certs
	Relays            bool     // Docker: links run through relays on this host, so that Slow works; always so for Process
	ExtraArgs         []string // server options for all nodes
	NodeArgs          func(name string) []string
	// NodeDir is called before a local process is made in that folder, which is not there yet.
	NodeDir func(name, dir string)
}

// Flavors are the flavours to test: BELLWETHER_FLAVORS, or MariaDB 10.11.
func Flavors() []string { return fromEnv("BELLWETHER_FLAVORS", "mariadb-10.11") }

// Providers are the providers to test: BELLWETHER_PROVIDERS, or Process.
func Providers() []string { return fromEnv("BELLWETHER_PROVIDERS", Process) }

func fromEnv(name, otherwise string) []string {
	out := strings.FieldsFunc(os.Getenv(name), func(r rune) bool { return r == ',' || r == ' ' })
	if len(out) == 0 {
		return []string{otherwise}
	}
	return out
}

// Each runs f as a subtest for every provider and flavour that is enabled.
func Each(t *testing.T, f func(t *testing.T, o Options)) {
	t.Helper()
	for _, p := range Providers() {
		flavors := Flavors()
		if image := os.Getenv(EnvImage); p == Docker && image != "" {
			flavors = []string{imageFlavor(image)}
		}
		for _, fl := range flavors {
			t.Run(p+"/"+fl, func(t *testing.T) { f(t, Options{Provider: p, Flavor: fl}) })
		}
	}
}

// EachFlavor runs f as a subtest for every enabled flavour, as processes.
func EachFlavor(t *testing.T, f func(t *testing.T, o Options)) {
	t.Helper()
	for _, fl := range Flavors() {
		t.Run(fl, func(t *testing.T) { f(t, Options{Provider: Process, Flavor: fl}) })
	}
}

func (o *Options) setDefaults() error {
	if o.Provider == "" {
		o.Provider = Process
	}
	if o.Flavor == "" {
		o.Flavor = Flavors()[0]
	}
	if !slices.Contains([]string{Process, Docker}, o.Provider) {
		return fmt.Errorf("unknown provider %q", o.Provider)
	}
	if o.flavor() == gtid.FlavorUnknown {
		return fmt.Errorf("unknown flavour %q", o.Flavor)
	}
	return nil
}

// FlavorKind is the kind of server that Flavor names.
func (o *Options) FlavorKind() gtid.Flavor { return o.flavor() }

func (o *Options) flavor() gtid.Flavor {
	switch name, _, _ := strings.Cut(o.Flavor, "-"); name {
	case "mariadb":
		return gtid.MariaDB
	case "mysql":
		return gtid.MySQL
	default:
		return gtid.FlavorUnknown
	}
}

// Main runs a package's tests, fails them where goroutines are left behind, and
// removes what earlier, dead runs left.
func Main(m *testing.M) {
	removeStale()
	goleak.VerifyTestMain(m)
}

var dockerAnswers = sync.OnceValue(func() error {
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("the docker command is not installed")
	}
	out, err := exec.Command("docker", "version", "--format", "{{.Server.Version}}").CombinedOutput()
	if err != nil {
		return fmt.Errorf("no Docker engine answers: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
})

// needDocker skips the test where no Docker engine answers; under CI=true it fails.
func needDocker(t testing.TB) {
	t.Helper()
	err := dockerAnswers()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("container tests must run under CI: %v", err)
	default:
		t.Skipf("container tests are skipped: %v", err)
	}
}
