# Clients that others wrote, for the tests that let them work against the server or read what it wrote. Each kind is
# brought by its language's own package manager, once for a list of versions, into a folder of $cache that is named by
# the list's checksum. What cannot be had here is noted, and the tests that want it skip themselves, saying so.

# client_folder KIND FILE...: makes the folder by install_KIND unless it is complete; prints it.
client_folder() {
  local kind="$1" folder
  shift
  folder="$cache/clients-$kind-$(cat "$@" | cksum | cut -d' ' -f1)"
  if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    if "install_$kind" "$folder" >"$folder/log" 2>&1; then
      touch "$folder/complete"
    else
      echo "note: the $kind clients could not be installed; their tests skip themselves ($folder/log)" >&2
      return 1
    fi
  fi
  printf '%s\n' "$folder"
}

# Polars, deltalake, DuckDB with its Delta extension; the vendors' SDKs.
python_lists=(tests/it/outside/requirements.txt tests/it/clients/python/requirements.txt)
install_python() {
  python3 -m venv "$1" &&
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check "${python_lists[@]/#/-r}"
}
if folder="$(client_folder python "${python_lists[@]}")"; then
  export SPANLAKE_PYTHON="$folder/bin/python"
fi

# Libraries in lib, the programs over them in classes.
java_sources=(tests/it/clients/java/*)
install_java() {
  mvn --batch-mode --quiet -f tests/it/clients/java/pom.xml dependency:copy-dependencies -DoutputDirectory="$1/lib" &&
    javac -cp "$1/lib/*" -d "$1/classes" tests/it/clients/java/*.java
}
if folder="$(client_folder java "${java_sources[@]}")"; then
  export SPANLAKE_JAVA_CLIENTS="$folder"
fi

# One program, `clients`.
go_sources=(tests/it/clients/go/*)
install_go() {
  CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -C tests/it/clients/go -o "$1/clients" .
}
if folder="$(client_folder go "${go_sources[@]}")"; then
  export SPANLAKE_GO_CLIENTS="$folder"
fi

# The packages in node_modules.
node_lists=(tests/it/clients/node/package.json tests/it/clients/node/package-lock.json)
install_node() {
  node --version && cp "${node_lists[@]}" "$1" &&
    npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund
}
if folder="$(client_folder node "${node_lists[@]}")"; then
  export SPANLAKE_NODE_CLIENTS="$folder"
fi
unset folder
