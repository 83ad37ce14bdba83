package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellwetherdb/bellwether/internal/admin"
)

func statusCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "status [--admin URL]",
		Short: "Show nodes, lag and the last reload of a running proxy",
		Long: `Show nodes, lag and the last reload of a running proxy, as its admin address
(admin.address) tells it. Exits with 0 when the proxy is ready for clients.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			s, err := fetchStatus(ctx, adminURL(address))
			if err != nil {
				return err
			}
			s.write(cmd.OutOrStdout(), time.Now())
			if !s.ready.Ready {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "admin", "http://127.0.0.1:9307", "admin address of the proxy")
	return cmd
}

// adminURL is the URL for what a user may write: with or without a scheme.
func adminURL(s string) string {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	return strings.TrimRight(s, "/")
}

// status is what a proxy says of itself.
type status struct {
	url      string
	version  admin.VersionView
	topology admin.TopologyView
	config   *admin.ConfigView // nil where the proxy does not tell
	ready    struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}
}

func fetchStatus(ctx context.Context, url string) (*status, error) {
	s := &status{url: url}
	for _, part := range []struct {
		path string
		into any
	}{
		{"/v1/version", &s.version}, {"/readyz", &s.ready}, {"/v1/topology", &s.topology}, {"/v1/config", &s.config},
	} {
		if err := getJSON(ctx, url+part.path, part.into); err != nil {
			return nil, fmt.Errorf("ask the proxy: %w", err)
		}
	}
	return s, nil
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 8 << 20

// getJSON reads a JSON answer. An answer of "not found" changes nothing.
func getJSON(ctx context.Context, url string, into any) error {
	status, err := fetchJSON(ctx, url, into)
	switch {
	case err != nil:
		return err
	case status == http.StatusOK, status == http.StatusNotFound, status == http.StatusServiceUnavailable: // the latter is /readyz saying no
		return nil
	default:
		return fmt.Errorf("%s: %d %s", url, status, http.StatusText(status))
	}
}

// fetchJSON returns the status of an answer, and reads it where it is one of Bellwether's.
func fetchJSON(ctx context.Context, url string, into any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return resp.StatusCode, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return resp.StatusCode, fmt.Errorf("%s: not an answer of Bellwether: %w", url, err)
	}
	return resp.StatusCode, nil
}

func (s *status) write(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "%s at %s", s.version.Version, s.url)
	if s.ready.Ready {
		fmt.Fprintln(w, ": ready")
	} else {
		fmt.Fprintf(w, ": NOT READY: %s\n", strings.Join(s.ready.Reasons, "; "))
	}
	leader := "no leader"
	if s.topology.Leader != nil {
		leader = "leader " + *s.topology.Leader
	}
	fmt.Fprintf(w, "%s, epoch %d, %s\n\n", leader, s.topology.Epoch, s.topology.Flavor)
	s.writeNodes(w)
	if a := s.topology.Acknowledgement; a != nil {
		fmt.Fprintf(w, "\nacknowledgement: %s; in sync: %s; %d transactions wait\n",
			strings.TrimSuffix(a.State+", "+a.Why, ", "), strings.Join(a.InSync, ", "), a.Unacknowledged)
		if a.Insufficient {
			fmt.Fprintln(w, "FEWER FOLLOWERS ARE IN SYNC THAN ARE ASKED FOR")
		}
	}
	if s.config != nil {
		s.writeConfig(w, now)
	}
}

func (s *status) writeNodes(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tADDRESS\tROLE\tSTATE\tREADS\tLAG\tBEHIND\tRUNNING\tCONNECTIONS\tVERSION")
	for i := range s.topology.Nodes {
		n := &s.topology.Nodes[i]
		reads := "no"
		if n.Eligible {
			reads = "yes"
		}
		lag, behind := "unknown", "unknown"
		switch {
		case n.Role == "leader":
			lag, behind = "-", "-"
		case n.LagMS != nil:
			lag = strconv.FormatFloat(*n.LagMS, 'f', 1, 64) + " ms"
			if n.LagTx != nil {
				behind = strconv.FormatUint(*n.LagTx, 10) + " tx"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n",
			n.Name, n.Address, n.Role, n.State, reads, lag, behind, n.Outstanding, n.Connections, n.Version)
	}
	_ = t.Flush() // w says what it cannot write
	for i := range s.topology.Nodes {
		if n := &s.topology.Nodes[i]; n.Why != "" && n.Role != "leader" {
			fmt.Fprintf(w, "%s serves no reads: %s\n", n.Name, n.Why)
		}
	}
}

func (s *status) writeConfig(w io.Writer, now time.Time) {
	c := s.config
	fmt.Fprintf(w, "\nconfiguration %s, loaded %s, %d reloads, %d rejected\n", c.File, ago(c.LoadedAt, now), c.Reloads, c.Rejected)
	if c.LastError != "" {
		fmt.Fprintf(w, "the file was REJECTED %s, what was loaded before is in use:\n%s\n", ago(c.LastErrorAt, now), c.LastError)
	}
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "at an unknown time"
	}
	return now.Sub(t).Round(time.Second).String() + " ago"
}
