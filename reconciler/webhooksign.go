package reconciler

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxSecrets is more than a rotation needs; each costs a digest of the body.
const maxSecrets = 8

// readSecrets are the lines of a file. While a secret is replaced by another, both are
// there: forges are told one after the other.
func readSecrets(file string) (secrets []string, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(content)) {
		if secret := strings.TrimSpace(line); secret != "" {
			secrets = append(secrets, secret)
		}
	}
	if len(secrets) == 0 || len(secrets) > maxSecrets {
		return nil, fmt.Errorf("secret file %s has %d lines; want one secret in each, 1 to %d", file, len(secrets), maxSecrets)
	}
	return secrets, nil
}

// Why a delivery is not taken, in words for who sent it.
var (
	errUnsigned = errors.New("not signed with a secret of --webhook-secret-file")
	errStale    = errors.New("signed more than five minutes ago or ahead: compare the clocks")
)

// signatureHeaders hold the HMAC-SHA256 of the body in hex, with "sha256=" before it
// or without: those of GitHub, Gitea, Forgejo, Gogs and Bitbucket, and our own.
var signatureHeaders = []string{"X-Hub-Signature-256", "X-Forgejo-Signature", "X-Gitea-Signature", "X-Gogs-Signature", "X-Hub-Signature", "X-Hotpatch-Signature"}

// gitlabToken holds the secret itself: GitLab signs nothing with it.
const gitlabToken = "X-Gitlab-Token"

// signed looks at the first kind of signature that is given; a second one does not
// help. Standard Webhooks comes first: it is signed when and as which delivery, too.
func signed(header http.Header, body []byte, secrets []string) error {
	by := signsToken
	if header.Get(standardwebhooks.HeaderWebhookSignature) != "" {
		by = signsStandard
	} else if first(header, signatureHeaders) != "" {
		by = signsBody
	}
	unsigned := errUnsigned
	for _, secret := range secrets {
		err := by(header, body, secret)
		if err == nil {
			return nil
		}
		if err == errStale {
			unsigned = err
		}
	}
	return unsigned
}

func signsBody(header http.Header, body []byte, secret string) error {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return equal(strings.TrimPrefix(first(header, signatureHeaders), "sha256="), hex.EncodeToString(mac.Sum(nil)))
}

func signsToken(header http.Header, _ []byte, secret string) error {
	return equal(header.Get(gitlabToken), secret)
}

func equal(given, want string) error {
	if subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1 {
		return nil
	}
	return errUnsigned
}

// signsStandard is Standard Webhooks, which GitLab's signing token is as well. That a
// delivery is stale is told to nobody but who has the secret.
func signsStandard(header http.Header, body []byte, secret string) error {
	for _, key := range keysOf(secret) {
		hook, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return err
		}
		if hook.Verify(body, header) == nil {
			return nil
		}
		if hook.VerifyIgnoringTimestamp(body, header) == nil {
			return errStale
		}
	}
	return errUnsigned
}

// keysOf is what a secret may stand for: base64, as Standard Webhooks has it with
// whsec_ before it, or itself. No key at all would have everybody sign.
func keysOf(secret string) [][]byte {
	all := [][]byte{[]byte(secret)}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err == nil && len(decoded) > 0 {
		all = append(all, decoded)
	}
	return all
}
