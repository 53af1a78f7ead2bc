package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// signers are those whose signatures count: SSH keys as in git's allowed_signers,
// and OpenPGP public keys in armor. Both may stand in one file.
type signers struct {
	file string
	ssh  []sshSigner
	pgp  openpgp.EntityList
}

// sshSigner is a line of allowed_signers.
type sshSigner struct {
	who           string // as it stands there, for people
	key           ssh.PublicKey
	namespaces    string // a list; "" for any
	after, before time.Time
}

const (
	pgpBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	pgpEnd   = "-----END PGP PUBLIC KEY BLOCK-----"
)

func readSigners(file string) (signers, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return signers{}, fmt.Errorf("read whose signatures count: %w", err)
	}
	s := signers{file: file}
	rest := string(content)
	for {
		lines, armored, more := strings.Cut(rest, pgpBegin)
		if err := s.addLines(lines); err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
		if !more {
			break
		}
		armored, rest, _ = strings.Cut(armored, pgpEnd)
		keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(pgpBegin + armored + pgpEnd + "\n"))
		if err != nil {
			return s, fmt.Errorf("%s: read an OpenPGP key: %w", file, err)
		}
		s.pgp = append(s.pgp, keys...)
	}
	if len(s.ssh)+len(s.pgp) == 0 {
		return s, fmt.Errorf("%s names no signer: want lines of allowed_signers (MAIL ssh-ed25519 AAAA…), or OpenPGP public keys in armor", file)
	}
	return s, nil
}

func (s *signers) addLines(lines string) error {
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		signer, err := parseSigner(line)
		if err != nil {
			return fmt.Errorf("%.60q: %w", line, err)
		}
		s.ssh = append(s.ssh, signer)
	}
	return nil
}

// parseSigner reads one line: principals, options if there are any, and a key.
func parseSigner(line string) (sshSigner, error) {
	who, rest, _ := strings.Cut(line, " ")
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil {
		return sshSigner{}, errors.New("want MAIL ssh-ed25519 AAAA…, as ssh-keygen's ALLOWED SIGNERS")
	}
	s := sshSigner{who: who, key: key}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "namespaces":
			s.namespaces = value
		case "valid-after":
			s.after, err = parseDay(value)
		case "valid-before":
			s.before, err = parseDay(value)
		default:
			err = fmt.Errorf("the option %s is not known here", name)
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// parseDay reads YYYYMMDD, with hours, minutes and seconds or without, in UTC. A time
// that ssh-keygen would take for that of the machine is refused: it has none.
func parseDay(text string) (time.Time, error) {
	utc, isUTC := strings.CutSuffix(text, "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if at, err := time.Parse(layout, utc); err == nil && isUTC {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("want a time such as 20261231Z, got %q", text)
}

// gitNamespace is what signatures of commits are made for.
const gitNamespace = "git"

func (s signers) judgeSSH(signed, armored []byte, at time.Time) error {
	signature, err := sshsig.Unarmor(armored)
	if err != nil {
		return fmt.Errorf("has an SSH signature that cannot be read: %w", err)
	}
	shown := signature.PublicKey.Type() + " " + ssh.FingerprintSHA256(signature.PublicKey)
	if signature.Signature.Format == ssh.KeyAlgoRSA {
		return fmt.Errorf("is signed by the SSH key %s with SHA-1, which no longer proves anything", shown)
	}
	why := "which is not in " + s.file
	for _, signer := range s.ssh {
		if !bytes.Equal(signer.key.Marshal(), signature.PublicKey.Marshal()) {
			continue
		}
		if why = signer.unfit(at); why == "" {
			if sshsig.Verify(bytes.NewReader(signed), signature, signer.key, signature.HashAlgorithm, gitNamespace) != nil {
				return errForged
			}
			return nil
		}
	}
	return fmt.Errorf("is signed by the SSH key %s, %s", shown, why)
}

// unfit says why a signer's signature of that time does not count. Both ends are part
// of a signer's time, as for ssh-keygen.
func (s sshSigner) unfit(at time.Time) string {
	switch {
	case s.namespaces != "" && !hasWord(s.namespaces, gitNamespace):
		return "which " + s.who + " has for " + s.namespaces + " and not for git"
	case !s.after.IsZero() && at.Before(s.after):
		return "which is " + s.who + "'s from " + s.after.Format(time.RFC3339) + " only"
	case !s.before.IsZero() && at.After(s.before):
		return "which was " + s.who + "'s until " + s.before.Format(time.RFC3339)
	}
	return ""
}

func hasWord(list, word string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == word || one == "*" {
			return true
		}
	}
	return false
}

// judgePGP goes by the time that it is now, as gpg does: what a key that has expired
// signed counts no more, whatever time stands there.
func (s signers) judgePGP(signed, armored []byte) error {
	_, err := openpgp.CheckArmoredDetachedSignature(s.pgp, bytes.NewReader(signed), bytes.NewReader(armored), nil)
	var forged pgperrors.SignatureError
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return fmt.Errorf("is signed by an OpenPGP key that is not in %s", s.file)
	case errors.As(err, &forged):
		return errForged
	case err != nil:
		return fmt.Errorf("has an OpenPGP signature that does not count: %w", err)
	}
	return nil
}
