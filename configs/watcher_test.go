package configs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a Watcher that runs on real files.
type watched struct {
	*Watcher
	t       *testing.T
	reg     *prometheus.Registry
	applied chan *Config

	mu     sync.Mutex // guards refuse
	refuse error      // what onChange answers
}

const patience = 20 * time.Second // of a test that waits; nothing depends on its length

// text is a configuration that tests tell apart by its max_lag.
func text(maxLag string) string {
	return minimal + "  password: x\nrouting: {max_lag: " + maxLag + "}\n"
}

// watch starts a Watcher of path and ends it with the test. A long poll leaves
// finding changes to file events.
func watch(t *testing.T, path string, poll time.Duration) *watched {
	t.Helper()
	current, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{t: t, reg: prometheus.NewRegistry(), applied: make(chan *Config, 100)}
	w.Watcher, err = NewWatcher(path, current, w.onChange, WatcherOptions{
		Log: slog.New(slog.DiscardHandler), Registerer: w.reg, Debounce: 20 * time.Millisecond, Poll: poll,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

func (w *watched) onChange(c *Config) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse == nil {
		w.applied <- c
	}
	return w.refuse
}

// next waits for the next configuration that is applied.
func (w *watched) next() *Config {
	w.t.Helper()
	select {
	case c := <-w.applied:
		w.eventually("that it is the current one", func() bool { return w.Current() == c && w.Status().LastError == "" })
		return c
	case <-time.After(patience):
		w.t.Fatalf("nothing was applied; status %+v", w.Status())
		return nil
	}
}

// wantLag waits until a configuration with that max_lag was applied.
func (w *watched) wantLag(want time.Duration) {
	w.t.Helper()
	for got := w.next(); got.Routing.MaxLag != want; got = w.next() {
		w.t.Logf("applied on the way: max_lag %v", got.Routing.MaxLag)
	}
}

func (w *watched) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain for %s; status %+v", what, w.Status())
		}
	}
}

// wantRejected waits for an error with that text, and checks that nothing was applied.
func (w *watched) wantRejected(part string) {
	w.t.Helper()
	before := w.Current()
	w.eventually("a rejection that says "+part, func() bool { return strings.Contains(w.Status().LastError, part) })
	if w.Current() != before || w.Status().LastErrorAt.IsZero() {
		w.t.Errorf("status %+v", w.Status())
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWatcherFollowsTheFile(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir, path string)
	}{
		{"written in place", func(t *testing.T, _, path string) {
			writeFile(t, path, text("2s"))
		}},
		{"renamed over, as editors do", func(t *testing.T, dir, path string) {
			rename(t, writeFile(t, filepath.Join(dir, ".f.swp"), text("2s")), path)
		}},
		{"moved away and written anew", func(t *testing.T, _, path string) {
			rename(t, path, path+"~")
			writeFile(t, path, text("2s"))
		}},
		{"removed and recreated", func(t *testing.T, _, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, text("2s"))
		}},
		{"half written", func(t *testing.T, _, path string) {
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for i, b := range []byte(text("2s")) {
				if _, err := f.Write([]byte{b}); err != nil {
					t.Fatal(err)
				}
				if i%10 == 0 {
					time.Sleep(5 * time.Millisecond)
				}
			}
		}},
		{"replaced by a symbolic link", func(t *testing.T, dir, path string) {
			target := writeFile(t, filepath.Join(mkdir(t, filepath.Join(dir, "elsewhere")), "g"), text("2s"))
			symlink(t, target, path+".new")
			rename(t, path+".new", path)
		}},
		{"made unreadable, and readable again with other content", func(t *testing.T, _, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			mkdir(t, path) // a folder cannot be read by anyone, root included
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, text("2s"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := writeFile(t, filepath.Join(dir, "bellwether.yaml"), text("1s"))
			w := watch(t, path, time.Hour)
			tt.change(t, dir, path)
			w.wantLag(2 * time.Second)
			rename(t, writeFile(t, path+".new", text("3s")), path) // it still follows
			w.wantLag(3 * time.Second)
		})
	}
}

// The layout of a mounted Kubernetes ConfigMap: file -> ..data/file, ..data ->
// ..<time>; an update swaps ..data and removes the old folder.
func TestWatcherFollowsKubernetesSwap(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bellwether.yaml")
	writeFile(t, filepath.Join(mkdir(t, filepath.Join(dir, "..1")), "bellwether.yaml"), text("1s"))
	symlink(t, "..1", filepath.Join(dir, "..data"))
	symlink(t, "..data/bellwether.yaml", path)
	w := watch(t, path, time.Hour)
	for i, lag := range []string{"2s", "3s", "4s"} {
		next := "..n" + lag
		writeFile(t, filepath.Join(mkdir(t, filepath.Join(dir, next)), "bellwether.yaml"), text(lag))
		old, err := os.Readlink(filepath.Join(dir, "..data"))
		if err != nil {
			t.Fatal(err)
		}
		symlink(t, next, filepath.Join(dir, "..data_tmp"))
		rename(t, filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			t.Fatal(err)
		}
		w.wantLag(time.Duration(i+2) * time.Second)
	}
}

// A whole folder that is swapped by a link above it (a release directory).
func TestWatcherFollowsSwappedFolder(t *testing.T) {
	dir := t.TempDir()
	for _, r := range []string{"1", "2"} {
		writeFile(t, filepath.Join(mkdir(t, filepath.Join(dir, "r"+r)), "f.yaml"), text(r+"s"))
	}
	symlink(t, "r1", filepath.Join(dir, "now"))
	w := watch(t, filepath.Join(dir, "now", "f.yaml"), time.Hour)
	symlink(t, "r2", filepath.Join(dir, "next"))
	rename(t, filepath.Join(dir, "next"), filepath.Join(dir, "now"))
	w.wantLag(2 * time.Second)
	writeFile(t, filepath.Join(dir, "r2", "f.yaml"), text("3s"))
	w.wantLag(3 * time.Second)
}

// The folder itself goes, and comes back: what events do not tell, the poll finds.
func TestWatcherFollowsRecreatedFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc")
	path := writeFile(t, filepath.Join(mkdir(t, dir), "f.yaml"), text("1s"))
	w := watch(t, path, 20*time.Millisecond)
	rename(t, dir, dir+".old")
	w.wantRejected("no such file or directory")
	writeFile(t, filepath.Join(mkdir(t, dir), "f.yaml"), text("2s"))
	w.wantLag(2 * time.Second)
	writeFile(t, path, text("3s"))
	w.wantLag(3 * time.Second)
}

func TestWatcherKeepsTheOldOne(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "f.yaml"), text("1s"))
	w := watch(t, path, time.Hour)
	first := w.Current()

	writeFile(t, path, text("never"))
	w.wantRejected(path + ":4:20: routing.max_lag: \"never\" is not a duration")
	writeFile(t, path, text("2s")+"listen: {address: ':1'}\n")
	w.wantRejected("nothing was applied, because this needs a restart: listen.address: :3307 → :1")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.wantRejected("no such file")
	w.mu.Lock()
	w.refuse = errors.New("db9 cannot be reached")
	w.mu.Unlock()
	writeFile(t, path, text("5s"))
	w.wantRejected("db9 cannot be reached")
	if w.Current() != first {
		t.Error("a rejected configuration is the current one")
	}
	gathered := `
# HELP bellwether_config_last_reload_successful 1 when the configuration file is the one in use, 0 when it was rejected.
# TYPE bellwether_config_last_reload_successful gauge
bellwether_config_last_reload_successful `
	if err := testutil.GatherAndCompare(w.reg, strings.NewReader(gathered+"0\n"), "bellwether_config_last_reload_successful"); err != nil {
		t.Error(err)
	}

	writeFile(t, path, text("1s")) // back to what is in use: nothing to apply, nothing wrong
	w.eventually("no error", func() bool { return w.Status().LastError == "" })
	if err := testutil.GatherAndCompare(w.reg, strings.NewReader(gathered+"1\n"), "bellwether_config_last_reload_successful"); err != nil {
		t.Error(err)
	}
	if st := w.Status(); st.Reloads != 0 || st.Rejected < 4 || st.Hash != first.Source.Hash || w.Current() != first {
		t.Errorf("status %+v", st)
	}
}

func TestWatcherReload(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "f.yaml"), text("1s"))
	w := watch(t, path, time.Hour)
	w.mu.Lock()
	w.refuse = errors.New("not now")
	w.mu.Unlock()
	writeFile(t, path, text("2s"))
	w.wantRejected("not now")
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	w.Reload() // the file is as it was: only being told makes it try again
	w.Reload()
	w.wantLag(2 * time.Second)
}

func TestWatcherFollowsSecretsAndCertificates(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	mkdir(t, at("tls"))
	writePair(t, at("tls/crt"), at("tls/key"))
	writeFile(t, at("pw"), "one\n")
	path := writeFile(t, at("f.yaml"), minimal+"  password_file: pw\nlisten: {tls: {cert: tls/crt, key: tls/key}}\n")
	w := watch(t, path, time.Hour)
	first := w.Current()

	rename(t, writeFile(t, at("pw.new"), "two\n"), at("pw"))
	c := w.next()
	if pw, _ := c.Cluster.Password.Resolve(); pw != "two" {
		t.Errorf("password %q", pw)
	}
	if pw, _ := first.Cluster.Password.Resolve(); pw != "one" {
		t.Errorf("the old configuration changed: password %q", pw)
	}
	if c.Source.Hash != first.Source.Hash {
		t.Error("the hash tells something of the password")
	}

	writePair(t, at("crt.new"), at("key.new"))
	rename(t, at("crt.new"), at("tls/crt"))
	w.wantRejected("listen.tls.cert: cannot be used with its key")
	rename(t, at("key.new"), at("tls/key"))
	c = w.next()
	if c.Source.PEM["listen.tls.cert"] == first.Source.PEM["listen.tls.cert"] || c.Source.Hash == first.Source.Hash {
		t.Error("the new certificate does not show")
	}

	if err := os.Remove(at("pw")); err != nil {
		t.Fatal(err)
	}
	w.wantRejected("cluster.password_file: cannot read")
	writeFile(t, at("pw"), "three\n")
	c = w.next()
	if pw, _ := c.Cluster.Password.Resolve(); pw != "three" {
		t.Errorf("password %q", pw)
	}

	// A file that a rejected configuration waits for is watched too.
	writeFile(t, path, strings.Replace(text("2s"), "password: x", "password_file: later/pw", 1))
	w.wantRejected("later/pw: no such file")
	writeFile(t, filepath.Join(mkdir(t, at("later")), "pw"), "four\n")
	w.wantLag(2 * time.Second)
}

func TestWatcherSeesWhatChangedBeforeItRan(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "f.yaml"), text("1s"))
	old, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, text("2s"))
	ctx, cancel := context.WithCancel(context.Background())
	w, err := NewWatcher(path, old, func(*Config) error { cancel(); return nil }, WatcherOptions{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(ctx); err != nil || w.Current().Routing.MaxLag != 2*time.Second || w.Status().Reloads != 1 {
		t.Errorf("%v, status %+v", err, w.Status())
	}
}

// writePair makes a certificate of its own and its key.
func writePair(t *testing.T, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

func TestKeyPairAndPool(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	writePair(t, cert, key)
	if _, err := KeyPair(cert, key); err != nil {
		t.Error(err)
	}
	if _, err := CertPool(cert); err != nil {
		t.Error(err)
	}
	for _, pair := range [][2]string{{cert, cert}, {dir, key}, {cert, filepath.Join(dir, "none")}} {
		if _, err := KeyPair(pair[0], pair[1]); err == nil {
			t.Errorf("%v: no error", pair)
		}
	}
}
