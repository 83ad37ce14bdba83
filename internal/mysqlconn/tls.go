package mysqlconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// Modes of encryption towards the nodes, as MySQL's own clients name them.
const (
	TLSOff            = "off"
	TLSPreferred      = "preferred"       // encrypted where the server can
	TLSRequired       = "required"        // encrypted, whoever it is
	TLSVerifyCA       = "verify-ca"       // and the certificate is signed by CA
	TLSVerifyIdentity = "verify-identity" // and it names the host that was dialled
)

// TLS is encryption towards the nodes. The zero value is off.
type TLS struct {
	Mode string // one of the TLS constants; empty: off
	CA   string // PEM file; empty: the system's roots
	Cert string // PEM file of our own certificate, with Key; may be empty
	Key  string
}

// Config returns the configuration for one address, nil where encryption is off.
// Files are read anew at each call.
func (t TLS) Config(address string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if host, _, err := net.SplitHostPort(address); err == nil {
		cfg.ServerName = host
	}
	switch t.Mode {
	case "", TLSOff:
		return nil, nil
	case TLSPreferred, TLSRequired:
		cfg.InsecureSkipVerify = true
	case TLSVerifyCA, TLSVerifyIdentity:
		roots, err := t.roots()
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = roots
		if t.Mode == TLSVerifyCA {
			// Go verifies the name and the chain together, or neither: so the
			// chain is verified here.
			cfg.InsecureSkipVerify = true
			cfg.VerifyConnection = func(cs tls.ConnectionState) error { return verifyChain(cs, roots) }
		}
	default:
		return nil, fmt.Errorf("unknown TLS mode %q", t.Mode)
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("TLS certificate towards the nodes: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// roots returns nil, the system's roots, where no CA is given.
func (t TLS) roots() (*x509.CertPool, error) {
	if t.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("CA of the nodes: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA of the nodes: no certificate in %s", t.CA)
	}
	return pool, nil
}

var errNoCertificate = errors.New("the server sent no certificate")

func verifyChain(cs tls.ConnectionState, roots *x509.CertPool) error {
	if len(cs.PeerCertificates) == 0 {
		return errNoCertificate
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(opts)
	return err
}
