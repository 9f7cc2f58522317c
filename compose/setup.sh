#!/bin/sh
# Make what compose.yaml needs and what no repository may hold: passwords, keys, and which parts to run.
#
#   sh compose/setup.sh PROFILE...     backends (groq, cerebras, ...), simulate, postgres, observability
#
# Asks for the key of each cloud backend, once. Run it again with other profiles whenever you like: what is there stays.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
secrets=$here/secrets
with_key="cerebras groq mistral gemini openrouter openai anthropic together xai deepseek"
without_key="ollama vllm llamacpp simulate postgres observability"

say() { printf '%s\n' "$*" >&2; }
has() { case " $1 " in *" $2 "*) true ;; *) false ;; esac; }
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# The folder is the owner's alone; the files inside can be read by the users of the containers, who get single ones.
keep() { [ -e "$secrets/$1" ] || { printf '%s\n' "$2" >"$secrets/$1" && chmod 0444 "$secrets/$1"; }; }

[ $# -gt 0 ] || {
    say "Name what shall run, for example: sh compose/setup.sh groq, or: sh compose/setup.sh simulate"
    say "Backends: $with_key ollama vllm llamacpp. Others: simulate postgres observability."
    exit 2
}
for profile in "$@"; do
    has "$with_key $without_key" "$profile" || {
        say "There is no profile $profile; choose among: $with_key $without_key."
        exit 2
    }
done

mkdir -p "$secrets" && chmod 0700 "$secrets"
if [ ! -e "$secrets/amqp_url" ]; then
    password=$(random)
    keep rabbitmq_login "default_user = optimizer
default_pass = $password"
    keep amqp_url "amqp://optimizer:$password@rabbitmq:5672/"
fi
keep admin_token "$(random)"
keep postgres_password "$(random)"
keep grafana_password "$(random)"
rm -f "$secrets/history_url"
if has "$*" postgres; then
    keep history_url "postgresql://optimizer:$(cat "$secrets/postgres_password")@postgres:5432/optimizer"
else
    keep history_url "sqlite:////var/lib/optimizer/history.db"
fi

for backend in $with_key; do
    if has "$*" "$backend" && [ ! -e "$secrets/$backend" ]; then
        [ ! -t 0 ] || { printf 'Key of %s: ' "$backend" >&2 && stty -echo; }
        key=
        read -r key || true
        [ ! -t 0 ] || { stty echo && say; }
        [ -n "$key" ] || {
            say "No key was given for $backend; write it into $secrets/$backend, or run this again."
            exit 1
        }
        keep "$backend" "$key"
    fi
done

toml=./optimizer.toml
! has "$*" simulate || toml=./simulate.toml
socket=/var/run/docker.sock
cat >"$here/.env" <<END
# Written by setup.sh; compose reads it by itself.
COMPOSE_PROFILES=$(printf '%s' "$*" | tr -s ' ' ,)
OPTIMIZER_TOML=$toml
OPTIMIZER_DOCKER_GROUP=$(stat -c %g "$socket" 2>/dev/null || echo 999)
END
say "Ready. Start everything with: docker compose --file $here/compose.yaml up --detach --wait"
