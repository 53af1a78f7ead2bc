package gitsource

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// opened is a private key that was read from its file, for as long as the file and
// that of its passphrase are the same: with a passphrase it takes a while to open.
type opened[Key any] struct {
	mu   sync.Mutex
	held string // what the files had
	key  Key
}

// get reads the files at each use, so that a rotated key is used at once.
func (o *opened[Key]) get(file, passphraseFile string, open func(key, passphrase string) (Key, error)) (key Key, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text, err := secret(file)
	passphrase := ""
	if err == nil && passphraseFile != "" {
		passphrase, err = secret(passphraseFile)
	}
	if err != nil {
		return key, err
	}
	if held := text + "\x00" + passphrase; held != o.held {
		key, err := open(text+"\n", passphrase)
		if err != nil {
			return key, fmt.Errorf("the key in %s: %w", file, err)
		}
		o.held, o.key = held, key
	}
	return o.key, nil
}

var errLocked = errors.New("it has a passphrase, and no file of that is named")

// openSSH opens a private key as ssh-keygen writes it.
func openSSH(key, passphrase string) (ssh.Signer, error) {
	private, err := ssh.ParsePrivateKey([]byte(key))
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		if passphrase == "" {
			return nil, errLocked
		}
		private, err = ssh.ParsePrivateKeyWithPassphrase([]byte(key), []byte(passphrase))
		// A key in PEM has no mark of the right one: some open it to rubbish, of which
		// other libraries complain.
		if err != nil && !strings.HasPrefix(err.Error(), "ssh: ") {
			return nil, errors.New("the passphrase in its file does not fit")
		}
	}
	if err != nil && strings.Contains(key, "-----BEGIN ENCRYPTED PRIVATE KEY-----") {
		return nil, errors.New("it is locked in a way that is not read here, PKCS #8: ssh-keygen -p -f FILE writes it in another one")
	}
	return private, err
}
