"""AS-12 and the REST half of AS-23: devices by a list, and one by one (C8Y-REG-02 to C8Y-REG-04)."""

from support.cumulocity import WORDS, config
from support.shell import play

LIST = r"""
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -sha256 -days 30 -out ca.pem -subj /CN=plant 2>/dev/null
leaf(){ openssl req -new -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj /CN=$1 2>/dev/null; openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $1.pem -days 30 -sha256 2>/dev/null; }
leaf pump-0050; leaf pump-0051
trust plant false ca.pem >/dev/null
c(){ raw --cert $1.pem --key $1.key --id $1; }
ok "$(c pump-0050)" "CONNACK 5 sp 0" "a device that nobody registered"
BULK=$URL/devicecontrol/bulkNewDeviceRequests
printf 'ID;AUTH_TYPE;TYPE;NAME;com_cumulocity_model_Agent.active\npump-0050;CERTIFICATES;c8y_Pump;Pump 50;true\n' > bulk.csv
R=$(basic -F file=@bulk.csv $BULK)
ok "$(echo "$R" | jq .numberOfSuccessful)" 1 "row taken"
ok "$(echo "$R" | jq -c '[.numberOfAll,.numberOfCreated,.numberOfFailed,.credentialUpdatedList,.failedCreationList]')" '[1,1,0,[],[]]' "and told"
ok "$(basic -F file=@bulk.csv $BULK -D - -o /dev/null | grep -ic '^content-type: application/vnd.com.nsn.cumulocity.bulknewdevicerequest+json')" 1 "in its type"
ok "$(basic -F file=@bulk.csv $BULK | jq -c '[.numberOfCreated,.numberOfSuccessful,.credentialUpdatedList[0].bulkNewDeviceStatus]')" '[0,1,"CREDENTIAL_UPDATED"]' "a known device is done, too"
ok "$(c pump-0050)" "CONNACK 0 sp 0" "the device connects"
ok "$(c pump-0051)" "CONNACK 5 sp 0" "another one does not"
printf 'ID,AUTH_TYPE,CREDENTIALS\npump-0052,CERTIFICATES,secret99\n' > bad.csv
R=$(basic -F file=@bad.csv $BULK)
ok "$(echo "$R" | jq .numberOfFailed)" 1 "credentials not allowed"
ok "$(echo "$R" | jq -r '.failedCreationList[0] | [.bulkNewDeviceStatus,.deviceId,.line] | join(" ")')" "FAILED pump-0052 pump-0052,CERTIFICATES,***" "the row is told, without its secret"
printf 'ID\tAUTH_TYPE\tCREDENTIALS\npump-0053\tBASIC\ta-good-one\npump/54\tBASIC\ta-good-one\n' > basic.csv
ok "$(basic -F file=@basic.csv $BULK | jq -c '[.numberOfCreated,.numberOfFailed]')" '[1,1]' "one with a password"
ok "$(raw --id pump-0053 --user $C8Y/device_pump-0053 --pw a-good-one)" "CONNACK 0 sp 0" "which connects by it"
printf 'NAME\nx\n' > none.csv
ok "$(basic -F file=@none.csv $BULK | jq -r .error)" "devicecontrol/Invalid Data" "no list of devices"
ok "$(basic -F other=x $BULK -o /dev/null -w '%{http_code}')" 422 "no file"
{ echo 'ID;AUTH_TYPE'; seq -f 'd%.0f;CERTIFICATES' 10000; } > long.csv
ok "$(basic -F file=@long.csv $BULK | jq .numberOfCreated)" 10000 "ten thousand at once"
echo 'd10001;CERTIFICATES' >> long.csv
ok "$(basic -F file=@long.csv $BULK -o /dev/null -w '%{http_code}')" 422 "and no more"
head -c 6000000 /dev/zero | tr '\0' x > big.csv
ok "$(basic -F file=@big.csv $BULK -o /dev/null -w '%{http_code}')" 413 "a file that is too long"
"""

ONE = r"""
NEW=$URL/devicecontrol/newDeviceRequests
boot(){ curl -sS --cacert "$CA" -u "management/devicebootstrap:$1" -H 'Content-Type: application/json' -X POST $URL/devicecontrol/deviceCredentials -d "{\"id\":\"$2\"}" "${@:3}"; }
ok "$(c8y -X POST $NEW -d '{"id":"pump-0060"}' | jq -r '[.id,.status,.tenantId] | join(" ")')" "pump-0060 WAITING_FOR_CONNECTION t2250" "announced"
ok "$(code c8y -X POST $NEW -d '{"id":"pump-0060"}')" 409 "once"
ok "$(code c8y -X POST $NEW -d '{"id":"pump 60"}')" 422 "not with a blank"
ok "$(code c8y -X PUT $NEW/pump-0060 -d '{"status":"ACCEPTED"}')" 422 "nobody has asked yet"
ok "$(boot wrong-one pump-0060 -o /dev/null -w '%{http_code}')" 401 "a wrong bootstrap password"
ok "$(boot $BOOT pump-0060 | jq -r .error)" "devicecontrol/Not Found" "the device asks"
ok "$(c8y $NEW/pump-0060 | jq -r .status)" PENDING_ACCEPTANCE "and that is seen"
ok "$(c8y $NEW | jq -r '[.newDeviceRequests[].id,.statistics.currentPage] | join(" ")')" "pump-0060 1" "in the list, too"
ok "$(c8y -X PUT $NEW/pump-0060 -d '{"status":"ACCEPTED"}' | jq -r .status)" ACCEPTED "accepted"
R=$(boot $BOOT pump-0060); PW=$(echo "$R" | jq -r .password)
ok "$(echo "$R" | jq -r '[.id,.tenantId,.username] | join(" ")')" "pump-0060 t2250 device_pump-0060" "credentials"
ok "$(boot $BOOT pump-0060 -o /dev/null -w '%{http_code}')" 404 "told once"
ok "$(raw --id pump-0060 --user t2250/device_pump-0060 --pw "$PW")" "CONNACK 0 sp 0" "they are good"
leaf pump-0060
ok "$(c pump-0060)" "CONNACK 5 sp 0" "but for no certificate"
c8y -X POST $NEW -d '{"id":"pump-0061"}' >/dev/null
ok "$(code c8y -X DELETE $NEW/pump-0061)" 204 "forgotten"
ok "$(c8y $NEW/pump-0061 | jq -r .error)" "devicecontrol/Not Found" "and gone"
"""


def run(t):
    broker = t.certus(config(t))
    play(t, broker, WORDS + LIST + ONE)
    broker.stop()
    broker.start()
    t.check(broker.said("devices=10001"), "and the devices are known after a start", broker.log()[:20])
