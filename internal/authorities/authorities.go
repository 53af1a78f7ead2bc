// Package authorities reads whom to trust from certificates in PEM form: all that a
// bundle holds, or none. The library's own reading passes over what it cannot read, so
// that an authority is missing without a word until a server is not trusted.
package authorities

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const begin = "-----BEGIN CERTIFICATE-----"

// Add has a pool trust a bundle. What is in it besides certificates, comments and keys,
// is passed over. The error goes on from the file's name.
func Add(pool *x509.CertPool, bundle string) error {
	// Not block by block as the library finds them: it looks for the next one
	// where one is broken.
	blocks := strings.Split(bundle, begin)[1:]
	if len(blocks) == 0 {
		return errors.New("holds no certificate in PEM form")
	}
	for i, rest := range blocks {
		certificate, err := parse(begin + rest)
		if err != nil {
			return fmt.Errorf("holds certificates, but number %d of %d cannot be read: %w", i+1, len(blocks), err)
		}
		pool.AddCert(certificate)
	}
	return nil
}

func parse(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it is not whole PEM, from its BEGIN to its END")
	}
	return x509.ParseCertificate(block.Bytes)
}
