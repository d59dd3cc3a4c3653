# A PostgreSQL server for the tests of the registry over it: on the loopback, in a fresh folder, stopped at the end of
# the run. SPANLAKE_POSTGRES names it; where it is set already, that server is used. Where none can be had, the tests
# over PostgreSQL skip themselves, saying so.

# The folder of its programs, the newest if there are several.
postgres_programs() {
  local found
  found="$(find /usr/lib/postgresql /usr/pgsql-* -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)" || true
  found="${found:-$(command -v initdb || true)}"
  [ -n "$found" ] && dirname "$found"
}

# It refuses to run as root.
as_postgres() {
  if [ "$(id -u)" != 0 ]; then
    "$@"
  elif id postgres >/dev/null 2>&1; then
    runuser -u postgres -- "$@"
  else
    runuser -u nobody -- "$@"
  fi
}

stop_postgres() {
  if [ -n "${postgres_folder:-}" ]; then
    (cd / && as_postgres "$postgres_bin/pg_ctl" stop --silent --mode=immediate -D "$postgres_folder/data") || true
    rm -rf "$postgres_folder"
  fi
}

start_postgres() {
  postgres_bin="$(postgres_programs)" || {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y postgresql >/dev/null
    postgres_bin="$(postgres_programs)" || return 1
  }
  postgres_folder="$(mktemp -d)"
  trap stop_postgres EXIT
  chmod 755 "$postgres_folder"
  as_postgres true && as_postgres id -un >"$postgres_folder/user" || return 1
  chown "$(cat "$postgres_folder/user")" "$postgres_folder"
  # Away from folders that its user may not read.
  cd /
  as_postgres "$postgres_bin/initdb" --username=spanlake --auth=trust --encoding=UTF8 --locale=C --no-sync \
    -D "$postgres_folder/data" >/dev/null || return 1
  local port try
  for try in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    if as_postgres "$postgres_bin/pg_ctl" start --silent --wait -D "$postgres_folder/data" -l "$postgres_folder/log" \
      -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 -c fsync=on"; then
      export SPANLAKE_POSTGRES="postgres://spanlake@127.0.0.1:$port/postgres"
      return 0
    fi
  done
  return 1
}

if [ -z "${SPANLAKE_POSTGRES:-}" ]; then
  here="$PWD"
  start_postgres || echo "note: no PostgreSQL server could be started; the tests over it skip themselves" >&2
  cd "$here"
  unset here
fi
