package programs

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"strings"
	"testing"

	_ "github.com/lib/pq" // the driver "postgres"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hotpatch.dev/hotpatch/api"
)

const postgresConfig = `listen_addresses = '127.0.0.1'
port = PORT
unix_socket_directories = '/tmp'
shared_buffers = 16MB
fsync = off
shop.greeting = 'VERSION'
`

var postgresPackages = []string{"postgresql-15", "libpq5", "libc6", "libgcc-s1", "libstdc++6", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3",
	"libkrb5support0", "libcom-err2", "libkeyutils1", "libicu72", "libldap-2.5-0", "libsasl2-2", "libgnutls30", "libidn2-0", "libunistring2", "libp11-kit0",
	"libtasn1-6", "libnettle8", "libhogweed6", "libgmp10", "libffi8", "libpam0g", "libaudit1", "libcap-ng0", "libssl3", "libsystemd0", "libcap2",
	"libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5", "libzstd1", "libxml2", "zlib1g", "busybox"}

const (
	postgresDir   = "usr/lib/postgresql/15/"
	fuzzystrmatch = postgresDir + "lib/fuzzystrmatch.so"
)

// postgres is Debian's. v2 has another configuration, another version of an
// extension, a library and a server.
func postgres(t *testing.T, port string) program {
	t.Helper()
	base := from(t, postgresPackages, []string{postgresDir + "bin/postgres", postgresDir + "bin/initdb", "bin/busybox"},
		postgresDir+"lib/*.so", "usr/share/postgresql/15/*")
	withShell(base)
	files := func(version string) map[string]string {
		return map[string]string{"etc/postgresql/postgresql.conf": strings.NewReplacer("PORT", port, "VERSION", version).Replace(postgresConfig),
			"usr/share/postgresql/15/extension/shop.control": "default_version = '" + version[1:] + ".0'\n"}
	}
	function := func(version string) string {
		return "CREATE OR REPLACE FUNCTION shop() RETURNS text LANGUAGE sql AS $$ SELECT '" + version + "' $$;\n"
	}
	out := program{base: base, v1: files("v1"), v2: files("v2"), start: v1.ImageConfig{
		User: fmt.Sprintf("%d:%[1]d", user), Env: []string{"PATH=/" + postgresDir + "bin:/bin", "PGDATA=/var/lib/postgresql/data"},
		Entrypoint: []string{"/bin/sh", "-c", "initdb -A trust --locale C -E UTF8 --no-sync >&2 && exec postgres -c config_file=/etc/postgresql/postgresql.conf"}}}
	out.v1["usr/share/postgresql/15/extension/shop--1.0.sql"] = function("v1")
	out.v2["usr/share/postgresql/15/extension/shop--1.0--2.0.sql"] = function("v2")
	out.v2[fuzzystrmatch] = another(t, base, fuzzystrmatch, "exceeds the maximum", "exceeds the MAXIMUM")
	out.v2[postgresDir+"bin/postgres"] = another(t, base, postgresDir+"bin/postgres", "PostgreSQL 15.", "PostgreSQL 51.")
	return out
}

func TestPostgresTakesExtensions(t *testing.T) {
	port := freePort(t)
	db, err := sql.Open("postgres", "host=127.0.0.1 port="+port+" user=app dbname=postgres sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	data := t.TempDir()
	if err := os.Chown(data, user, user); err != nil {
		t.Fatal(err)
	}
	p := run(t, postgres(t, port), db.Ping, specs.Mount{Destination: "/var/lib/postgresql", Source: data, Type: "bind", Options: []string{"rbind", "rw"}})
	one, two := login(t, db), login(t, db)
	one.do("CREATE EXTENSION shop")
	one.do("CREATE EXTENSION fuzzystrmatch")
	one.fails("SELECT metaphone(repeat('a', 300), 4)", "exceeds the maximum") // and has loaded the library
	two.do("CREATE TEMP TABLE cart (what text)")
	two.do("BEGIN")
	two.do("INSERT INTO cart VALUES ('apple')")
	leave := visitors(t, func() error { return visit(db) })

	p.becomes("v2", &api.Reload{Signal: "SIGHUP"})
	// On a busy machine the stop may have no time for all their directories: the
	// passes that follow have.
	p.sees("all of Postgres on the old binary and nobody's directory left behind", func(o api.Observed) bool {
		is := o.Containers[0]
		return is.OldProcesses >= 3 && is.StaleDirs == 0
	})
	for _, s := range []*session{one, two} {
		eventually(t, func() error { return s.is("SHOW shop.greeting", "v2") })
	}
	two.must("SELECT what FROM cart", "apple")
	two.do("COMMIT")
	one.must("SELECT shop()", "v1")
	one.do("ALTER EXTENSION shop UPDATE")
	one.must("SELECT shop()", "v2")
	two.must("SELECT shop()", "v2")
	one.fails("SELECT metaphone(repeat('a', 300), 4)", "exceeds the maximum")
	two.fails("SELECT metaphone(repeat('a', 300), 4)", "exceeds the MAXIMUM")
	three := login(t, db)
	three.fails("SELECT metaphone(repeat('a', 300), 4)", "exceeds the MAXIMUM")
	three.must("SELECT substr(version(), 1, 13)", "PostgreSQL 15")

	p.becomes("v1", &api.Reload{Signal: "SIGHUP"})
	eventually(t, func() error { return one.is("SHOW shop.greeting", "v1") })
	two.must("SELECT what FROM cart", "apple")
	one.must("SELECT shop()", "v2") // it is in the database
	leave()
}

// session is one connection to the database, and the process that serves it.
type session struct {
	*testing.T
	*sql.Conn
	pid string
}

func login(t *testing.T, db *sql.DB) *session {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &session{T: t, Conn: conn}
	if s.pid, err = s.query("SELECT pg_backend_pid()"); err != nil {
		t.Fatal(err)
	}
	return s
}

// visit logs in, asks for something and leaves.
func visit(db *sql.DB) error {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	defer conn.Raw(func(any) error { return driver.ErrBadConn }) // else it would be kept
	return conn.PingContext(context.Background())
}

func (s *session) query(query string) (text string, err error) {
	err = s.QueryRowContext(context.Background(), query).Scan(&text)
	return text, err
}

// is asks, on the same connection to the same process.
func (s *session) is(query, want string) error {
	got, err := s.query(query)
	if pid, _ := s.query("SELECT pg_backend_pid()"); pid != s.pid {
		return fmt.Errorf("the connection is another one: process %s, was %s", pid, s.pid)
	}
	if err == nil && got != want {
		err = fmt.Errorf("got %s, want %s", got, want)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

func (s *session) must(query, want string) {
	s.Helper()
	if err := s.is(query, want); err != nil {
		s.Error(err)
	}
}

func (s *session) do(statement string) {
	s.Helper()
	if _, err := s.ExecContext(context.Background(), statement); err != nil {
		s.Fatalf("%s: %v", statement, err)
	}
}

func (s *session) fails(query, why string) {
	s.Helper()
	if _, err := s.query(query); err == nil || !strings.Contains(err.Error(), why) {
		s.Errorf("%s: %v, want an error that %s", query, err, why)
	}
}
