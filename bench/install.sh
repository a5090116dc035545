# The steps of site.yml on a bare Debian 13, as a script that runs once and checks nothing. bench/install.py inserts the
# files that site.yml wrote, copies the script to the machine, and compares its time with that of site.yml.
set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive UV_CACHE_DIR=/var/cache/trackbox/uv UV_PYTHON_DOWNLOADS=never

mkdir -p /var/lib/trackbox
dpkg-query --show --showformat='${db:Status-Status}:${Package}:${Version}\n' >/var/lib/trackbox/before

for user in mlflow mlflow-migrate; do
  useradd --system --user-group --home-dir /nonexistent --shell /usr/sbin/nologin $user
done
useradd --system --user-group --home-dir /var/lib/minio --shell /usr/sbin/nologin minio
groupadd --system trackbox
install -d -o minio -g minio -m 0700 /var/lib/minio
install -d -m 0700 /etc/trackbox/minio /etc/trackbox/mlflow
install -d -m 0750 -g www-data /etc/trackbox/nginx
install -d -m 0750 -g trackbox /etc/trackbox/training

write() {  # arguments: PATH MODE OWNER GROUP; standard input: the content
  mkdir -p "${1%/*}"
  cat >"$1.new"
  chmod "$2" "$1.new"
  chown "$3:$4" "$1.new"
  mv "$1.new" "$1"
}
@FILES@

apt-get update -qq
# Install MySQL and its dependencies from sid, as site.yml does with mysql_repository.
apt-get install -qq -y --no-install-recommends -t sid mysql-server
apt-get install -qq -y --no-install-recommends ca-certificates python3-venv nginx openssl logrotate unattended-upgrades nftables

python3 -m venv /opt/trackbox/uv
/opt/trackbox/uv/bin/pip install --quiet --require-hashes -r /root/bench/uv
environment() {  # FOLDER LOCK
  /opt/trackbox/uv/bin/uv venv --quiet --python /usr/bin/python3 "$1"
  /opt/trackbox/uv/bin/uv pip install --quiet --require-hashes --compile-bytecode --python "$1" -r "$2"
  rm -f "$1/.lock"
  touch "$1/lock-$(printf %s "$(cat "$2")" | sha256sum | head -c 12)"
}

mysql <<'EOF'
CREATE DATABASE mlflow CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;
CREATE USER mlflow@localhost IDENTIFIED WITH auth_socket;
CREATE USER `mlflow-migrate`@localhost IDENTIFIED WITH auth_socket;
GRANT SELECT, INSERT, UPDATE, DELETE ON mlflow.* TO mlflow@localhost;
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER ON mlflow.* TO `mlflow-migrate`@localhost;
EOF

environment "/opt/trackbox/mlflow/$MLFLOW" /root/bench/mlflow
ln -s "$MLFLOW" /opt/trackbox/mlflow/current
runuser --user=mlflow-migrate -- /opt/trackbox/mlflow/current/bin/python - <<'EOF'
import sqlalchemy
from mlflow.store.db.utils import _initialize_tables
_initialize_tables(sqlalchemy.create_engine("mysql+pymysql://mlflow-migrate@localhost/mlflow?unix_socket=/run/mysqld/mysqld.sock"))
EOF
mysql mlflow --execute='CREATE INDEX trackbox_metrics_in_order ON latest_metrics (`key`, is_nan, value)'
systemctl daemon-reload
systemctl enable --quiet --now mlflow.socket mlflow.service mlflow-away.service trackbox-gc.timer

/etc/trackbox/nginx/make-certificate /etc/trackbox/nginx "http://$HOST/ca.crl" "$HOST"
systemctl enable --quiet --now trackbox-certificate.timer
mv /etc/nginx/nginx.conf /var/lib/trackbox/nginx.conf
mv /root/bench/nginx.conf /etc/nginx/nginx.conf
systemctl restart nginx

environment /opt/trackbox/training/fraud/environment /root/bench/training
cp /root/bench/*.whl /opt/trackbox/training/fraud/
/opt/trackbox/uv/bin/uv pip install --quiet --no-deps --compile-bytecode \
  --python /opt/trackbox/training/fraud/environment /root/bench/*.whl
rm -f /opt/trackbox/training/fraud/environment/.lock

install -D /root/bench/minio "$MINIO/minio"
environment /opt/trackbox/minio/sdk /root/bench/sdk
systemctl enable --quiet --now minio minio-watermark
/opt/trackbox/minio/sdk/bin/python - <<'EOF'
import json, time, urllib.request
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.versioningconfig import ENABLED, VersioningConfig
given = json.load(open("/root/bench/content"))
login = (given["root_user"], given["root_password"])
s3 = Minio(endpoint="127.0.0.1:9000", access_key=login[0], secret_key=login[1], secure=False)
admin = MinioAdmin(endpoint="127.0.0.1:9000", credentials=StaticProvider(*login), secure=False)
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1:9000/minio/health/ready").read()
        break
    except OSError:
        time.sleep(0.1)
for bucket in given["buckets"]:
    s3.make_bucket(bucket_name=bucket)
s3.set_bucket_versioning(bucket_name="datasets", config=VersioningConfig(ENABLED))
for name, (secret, policy) in given["users"].items():
    admin.policy_add(policy_name=name, policy=policy)
    admin.user_add(access_key=name, secret_key=secret)
    admin.policy_set(policy_name=name, user=name)
EOF

systemctl restart systemd-journald
systemctl enable --quiet --now trackbox-firewall
rm -r /root/bench
