package authorities

import (
	"crypto/x509"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/internal/certtest"
)

func TestAllOfABundleOrNone(t *testing.T) {
	a, b := certtest.New(t), certtest.New(t)
	one, two := a.PEM(), b.PEM()
	middle := len(two) / 2
	key := a.Pair("x").Key
	const rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	for name, c := range map[string]struct{ bundle, want string }{
		"one":                          {one, ""},
		"two":                          {one + two, ""},
		"between words and a key":      {"# ours\n" + one + key + "# theirs\n\n" + two + "# end", ""},
		"with a mark of its encoding":  {"\ufeff" + one, ""},
		"with lines as Windows has":    {strings.ReplaceAll(one+two, "\n", "\r\n"), ""},
		"nothing":                      {"", "holds no certificate in PEM form"},
		"garbage":                      {"garbage", "holds no certificate in PEM form"},
		"a key":                        {key, "holds no certificate in PEM form"},
		"what is none":                 {rubbish, "number 1 of 1 cannot be read: x509: "},
		"what is none, after one":      {one + rubbish, "number 2 of 2 cannot be read: x509: "},
		"what is none, before one":     {rubbish + one, "number 1 of 2 cannot be read: x509: "},
		"one cut short":                {one + two[:middle], "number 2 of 2 cannot be read: it is not whole PEM"},
		"one cut short, before one":    {two[:middle] + "\n" + one, "number 1 of 2 cannot be read: it is not whole PEM"},
		"one with a strange character": {one + two[:middle] + "*" + two[middle:] + one, "number 2 of 3 cannot be read: it is not whole PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			pool, want := x509.NewCertPool(), x509.NewCertPool()
			err := Add(pool, c.bundle)
			switch {
			case c.want != "":
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			case err != nil || !want.AppendCertsFromPEM([]byte(strings.TrimPrefix(c.bundle, "\ufeff"))) || !pool.Equal(want):
				t.Errorf("got %v, and not what the library reads", err)
			}
		})
	}
}
