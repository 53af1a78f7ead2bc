package gitsource

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/hiddeco/sshsig"
)

// SigningKey names the file with the private key that commits are signed with: an
// SSH key, or an OpenPGP one in armor. A key with a passphrase needs the file of it.
// No file: commits are not signed.
type SigningKey struct{ File, PassphraseFile string }

// signer makes a detached signature in armor.
type signer func(message io.Reader) ([]byte, error)

// signing is a SigningKey in use.
type signing struct {
	SigningKey
	opened[signer]
}

// signer is nil if commits are not signed.
func (k *signing) signer() (signer, error) {
	if k.File == "" {
		return nil, nil
	}
	sign, err := k.get(k.File, k.PassphraseFile, openSigner)
	if err != nil {
		return nil, fmt.Errorf("sign commits: %w", err)
	}
	return sign, nil
}

func openSigner(key, passphrase string) (signer, error) {
	if strings.Contains(key, "-----BEGIN PGP PRIVATE KEY BLOCK-----") {
		return openPGP(key, passphrase)
	}
	private, err := openSSH(key, passphrase)
	if err != nil {
		return nil, fmt.Errorf("want a private key of SSH, or one of OpenPGP in armor: %w", err)
	}
	return func(message io.Reader) ([]byte, error) {
		signature, err := sshsig.Sign(message, private, sshsig.HashSHA512, gitNamespace)
		if err != nil {
			return nil, err
		}
		return sshsig.Armor(signature), nil
	}, nil
}

func openPGP(key, passphrase string) (signer, error) {
	entities, err := openpgp.ReadArmoredKeyRing(strings.NewReader(key))
	if err != nil {
		return nil, fmt.Errorf("want a private key of OpenPGP in armor: %w", err)
	}
	if len(entities) != 1 {
		return nil, fmt.Errorf("want one key, got %d", len(entities))
	}
	entity := entities[0]
	if err := entity.DecryptPrivateKeys([]byte(passphrase)); err != nil {
		if passphrase == "" {
			return nil, errLocked
		}
		return nil, fmt.Errorf("open it with the passphrase: %w", err)
	}
	return func(message io.Reader) ([]byte, error) {
		var armored bytes.Buffer
		err := openpgp.ArmoredDetachSign(&armored, entity, message, nil)
		return armored.Bytes(), err
	}, nil
}

// sign gives a commit its signature, which goes into the same header for both kinds
// of keys.
func (k *signing) sign(commit *object.Commit) error {
	sign, err := k.signer()
	if err != nil || sign == nil {
		return err
	}
	bare := &plumbing.MemoryObject{}
	if err := commit.EncodeWithoutSignature(bare); err != nil {
		return err
	}
	message, err := bare.Reader()
	if err != nil {
		return err
	}
	signature, err := sign(message)
	if err != nil {
		return fmt.Errorf("sign the commit with %s: %w", k.File, err)
	}
	commit.PGPSignature = string(signature)
	return nil
}
