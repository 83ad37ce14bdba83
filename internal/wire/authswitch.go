package wire

import "fmt"

// Names of authentication plugins.
const (
	PluginNative      = "mysql_native_password"
	PluginCachingSha2 = "caching_sha2_password"
	PluginSha256      = "sha256_password"
	PluginClear       = "mysql_clear_password"
	PluginOld         = "mysql_old_password"
	// PluginEd25519 is the client's plugin for MariaDB's server plugin
	// "ed25519".
	PluginEd25519 = "client_ed25519"
	// PluginParsec is MariaDB's (11.6).
	PluginParsec = "parsec"
	// PluginDialog is MariaDB's client plugin for PAM.
	PluginDialog = "dialog"
)

// AuthSwitchRequest asks the client to authenticate with another plugin.
type AuthSwitchRequest struct {
	Plugin string
	// Data is the plugin's, often a salt and a NUL.
	Data []byte
}

// Salt is Data without the NUL that the servers put after a salt.
func (a *AuthSwitchRequest) Salt() []byte {
	if n := len(a.Data); n > 0 && a.Data[n-1] == 0 {
		return a.Data[: n-1 : n-1]
	}
	return a.Data
}

// DecodeAuthSwitchRequest decodes an AuthSwitchRequest. The form without a
// plugin, of one byte, asks for PluginOld. Data borrows from payload.
func DecodeAuthSwitchRequest(payload []byte, a *AuthSwitchRequest) error {
	if len(payload) == 0 || payload[0] != HeaderEOF {
		return fmt.Errorf("auth switch request: %w", ErrMalformed)
	}
	*a = AuthSwitchRequest{Plugin: PluginOld}
	if len(payload) == 1 {
		return nil
	}
	r := reader{b: payload, off: 1}
	a.Plugin = nulOrRest(&r)
	a.Data = r.tail()
	return nil
}

// AppendAuthSwitchRequest appends an AuthSwitchRequest. Where Data is a salt,
// the caller adds the NUL.
func AppendAuthSwitchRequest(dst []byte, seq byte, a *AuthSwitchRequest) []byte {
	dst, start := beginPacket(dst)
	dst = append(dst, HeaderEOF)
	dst = append(append(dst, a.Plugin...), 0)
	dst = append(dst, a.Data...)
	dst, _ = endPacket(dst, start, seq)
	return dst
}

// AuthNextFactor asks a client of MySQL's multi-factor authentication for the
// next factor. It has an AuthSwitchRequest's form.
type AuthNextFactor struct {
	Plugin string
	Data   []byte
}

// DecodeAuthNextFactor decodes an AuthNextFactor. Data borrows from payload.
func DecodeAuthNextFactor(payload []byte, a *AuthNextFactor) error {
	if len(payload) == 0 || payload[0] != HeaderNextFactor {
		return fmt.Errorf("auth next factor: %w", ErrMalformed)
	}
	r := reader{b: payload, off: 1}
	*a = AuthNextFactor{Plugin: nulOrRest(&r)}
	a.Data = r.tail()
	return nil
}

// AppendAuthNextFactor appends an AuthNextFactor.
func AppendAuthNextFactor(dst []byte, seq byte, a *AuthNextFactor) []byte {
	dst, start := beginPacket(dst)
	dst = append(dst, HeaderNextFactor)
	dst = append(append(dst, a.Plugin...), 0)
	dst = append(dst, a.Data...)
	dst, _ = endPacket(dst, start, seq)
	return dst
}
