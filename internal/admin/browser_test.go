package admin

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellwetherdb/bellwether/internal/topology"
)

// browser finds a Chromium; tests that need one are skipped without it.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no chromium here")
	return ""
}

// chromium runs a headless browser to the end and returns what it printed.
func chromium(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args = append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
		"--user-data-dir=" + filepath.Join(t.TempDir(), "profile"), "--virtual-time-budget=5000",
	}, args...)
	cmd := exec.CommandContext(ctx, browser(t), args...)
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	if strings.Contains(problems.String(), "CONSOLE") {
		t.Errorf("the page complains:\n%s", problems.String())
	}
	return out.String()
}

func TestStatusPageInBrowser(t *testing.T) {
	browser(t)
	tests := []struct {
		name string
		edit func(c *Config)
		want []string
		not  []string
	}{
		{"all parts", func(*Config) {}, []string{
			`class="pill good">ready<`, `data-node="db1"`, "takes writes", "12 ms", "over the limit of 1 s", "1.6 s", "connection refused",
			"in transaction", "limit 1 s", "SELECT * FROM orders WHERE id = ?", "&lt;b&gt;report&lt;/b&gt;", "Bellwether 1.2.3",
			`class="live"`, `class="cut"`,
		}, []string{"<b>report", "NaN", "undefined", "does not answer"}},
		{"topology only", func(c *Config) { *c = Config{Address: c.Address, Topology: c.Topology, Log: c.Log} }, []string{
			`class="pill good">ready<`, `data-node="db4"`,
		}, []string{"NaN", "undefined", "does not answer"}},
		{"nothing known, a bad file", func(c *Config) {
			c.Topology = func() *topology.Snapshot { return &topology.Snapshot{} }
			c.Config = func() ConfigView { return ConfigView{LastError: "f.yaml:3:1: limts: unknown key"} }
		}, []string{`class="pill bad">not ready<`, "no leader is known", "f.yaml:3:1: limts: unknown key"}, []string{"NaN", "undefined"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := full(t)
			tt.edit(&c)
			dom := chromium(t, "--dump-dom", "--enable-logging=stderr", start(t, c)+"/")
			for _, w := range tt.want {
				if !strings.Contains(dom, w) {
					t.Errorf("%s is not on the page", w)
				}
			}
			for _, w := range tt.not {
				if strings.Contains(dom, w) {
					t.Errorf("%s is on the page", w)
				}
			}
			if t.Failed() {
				t.Log(dom)
			}
		})
	}
}

// TestScreenshot draws the page into the file named by BELLWETHER_SCREENSHOT.
func TestScreenshot(t *testing.T) {
	file := os.Getenv("BELLWETHER_SCREENSHOT")
	if file == "" {
		t.Skip("BELLWETHER_SCREENSHOT names no file")
	}
	args := []string{"--screenshot=" + file, "--window-size=1280,1250", "--hide-scrollbars", "--virtual-time-budget=20000"}
	if strings.Contains(file, "dark") {
		args = append(args, "--blink-settings=preferredColorScheme=0")
	}
	chromium(t, append(args, start(t, full(t))+"/")...)
}
