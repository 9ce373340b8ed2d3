#!/usr/bin/env bash
# A phone of nothing but curl and openssl: what vssid-integration.md says of
# requests, as commands. (date must know %N, as GNU's does.)
#
#   vssid-phone.sh URL KEY METHOD TARGET [BODY]
#
# KEY is a file, made when it is not there; PUBLIC_KEY in BODY stands for its
# public part. Prints the answer; fails when it is a refusal.
set -euo pipefail
url=$1 key=$2 method=$3 target=$4 body=${5-}

b64url() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
bytes() { while read -rn 2 byte; do [ -z "$byte" ] || printf "\\x$byte"; done; }

[ -e "$key" ] || (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$key")
point=$(openssl ec -in "$key" -pubout -outform DER 2>/dev/null | tail -c 64 | od -An -v -tx1 | tr -d ' \n')
x=$(bytes <<<"${point:0:64}" | b64url)
y=$(bytes <<<"${point:64}" | b64url)
jwk="{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"$x\",\"y\":\"$y\"}" # in this very order: RFC 7638
device=$(printf %s "$jwk" | openssl dgst -sha256 -binary | b64url)
body=${body//PUBLIC_KEY/$jwk}

now=$(date +%s.%6N)
claims="{\"aud\":\"$url\",\"htm\":\"$method\",\"htu\":\"$target\",\"iat\":$now,\"exp\":$((${now%.*} + 60)),\"jti\":\"$(openssl rand -hex 16)\""
[ -z "$body" ] || claims+=",\"bsh\":\"$(printf %s "$body" | openssl dgst -sha256 -binary | b64url)\""
signed=$(printf '{"alg":"ES256","kid":"%s","typ":"JWT"}' "$device" | b64url).$(printf %s "$claims}" | b64url)

# openssl signs in DER; a JWS wants both numbers as 32 bytes each.
signature=$(printf %s "$signed" | openssl dgst -sha256 -sign "$key" | openssl asn1parse -inform DER |
	sed -n 's/.*INTEGER *://p' | while read -r number; do
	number=$(printf %64s "$number" | tr ' ' 0)
	printf %s "${number: -64}"
done | bytes | b64url)

curl --silent --show-error --fail-with-body -X "$method" "$url$target" -H "Authorization: Bearer $signed.$signature" ${body:+--data "$body"}
echo
