package configs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// Bounds on what is read from files.
const (
	maxConfigFile = 4 << 20
	maxSecretFile = 64 << 10
	maxPEMFile    = 4 << 20
)

// fileReader reads files, and remembers what it read: the watcher compares
// later contents with that.
type fileReader struct {
	seen map[string]fileState // by path
}

// fileState is what was found in a file.
type fileState struct {
	limit  int64  // bytes that may be read
	digest string // of the content, or the error
}

// current reads the file at path again.
func (s fileState) current(path string) fileState {
	b, err := readFile(path, s.limit)
	return fileState{s.limit, fingerprint(b, err)}
}

// read returns the content of a regular file of at most limit bytes.
func (f *fileReader) read(path string, limit int64) ([]byte, error) {
	b, err := readFile(path, limit)
	if f.seen == nil {
		f.seen = make(map[string]fileState)
	}
	f.seen[path] = fileState{limit, fingerprint(b, err)}
	return b, err
}

func fingerprint(b []byte, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return digest(b)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// readFile refuses what is not a regular file: a FIFO or a device would block
// or never end.
func readFile(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %s", path, ByteSize(limit))
	}
	return b, nil
}

// CertPool reads the certificates of a PEM file.
func CertPool(path string) (*x509.CertPool, error) {
	b, err := readFile(path, maxPEMFile)
	if err != nil {
		return nil, err
	}
	return parsePool(path, b)
}

func parsePool(path string, b []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
	}
	return pool, nil
}

// KeyPair reads a certificate (chain) and its private key from PEM files.
func KeyPair(cert, key string) (tls.Certificate, error) {
	c, err := readFile(cert, maxPEMFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	k, err := readFile(key, maxPEMFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(c, k)
}

// loadFiles reads every file that the configuration names, and reports those
// that cannot be used.
func (c *Config) loadFiles(files *fileReader, report func(path, text string)) {
	secret := func(path string, s *Secret) {
		if s.check() != nil {
			return // reported by Validate
		}
		if err := s.resolve(files); err != nil {
			key := ".password_file"
			if s.File == "" {
				key = ".password_env"
			}
			report(path+key, reason(err))
		}
	}
	secret("cluster", &c.Cluster.Password)
	secret("replication", &c.Replication.Password)
	secret("admin", &c.Admin.Password)
	secret("coordination.etcd", &c.Coordination.Etcd.Password)
	for i := range c.Users {
		secret(fmt.Sprintf("users[%d]", i), &c.Users[i].Password)
	}
	c.Source.PEM = make(map[string]string)
	l, t, e := &c.Listen.TLS, &c.Cluster.TLS, &c.Coordination.Etcd.TLS
	c.loadPair(files, "listen.tls", l.Cert, l.Key, report)
	c.loadPair(files, "cluster.tls", t.Cert, t.Key, report)
	c.loadPair(files, "coordination.etcd.tls", e.Cert, e.Key, report)
	c.loadCA(files, "coordination.etcd.tls.ca", e.CA, report)
	c.loadCA(files, "listen.tls.ca", l.CA, report)
	c.loadCA(files, "cluster.tls.ca", t.CA, report)
}

func (c *Config) loadPair(files *fileReader, path, cert, key string, report func(path, text string)) {
	if cert == "" || key == "" {
		return // both or none: Validate
	}
	certPEM, certErr := files.read(cert, maxPEMFile)
	keyPEM, keyErr := files.read(key, maxPEMFile)
	if certErr != nil {
		report(path+".cert", reason(certErr))
	}
	if keyErr != nil {
		report(path+".key", reason(keyErr))
	}
	if certErr != nil || keyErr != nil {
		return
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		report(path+".cert", "cannot be used with its key: "+err.Error())
		return
	}
	c.Source.PEM[path+".cert"] = digest(certPEM)
	c.Source.PEM[path+".key"] = digest(keyPEM)
}

func (c *Config) loadCA(files *fileReader, path, ca string, report func(path, text string)) {
	if ca == "" {
		return
	}
	b, err := files.read(ca, maxPEMFile)
	if err == nil {
		_, err = parsePool(ca, b)
	}
	if err != nil {
		report(path, reason(err))
		return
	}
	c.Source.PEM[path] = digest(b)
}

// reason is an error of the file system in words that fit behind a key.
func reason(err error) string {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Sprintf("cannot read %s: %v", pe.Path, pe.Err)
	}
	return err.Error()
}
