package dev.sipwake.sample

import android.security.keystore.KeyGenParameterSpec
import java.io.InputStream
import java.io.OutputStream
import java.security.Key
import java.security.KeyStore
import java.security.KeyStoreSpi
import java.security.Provider
import java.security.SecureRandom
import java.security.Security
import java.security.cert.Certificate
import java.security.spec.AlgorithmParameterSpec
import java.util.Collections
import java.util.Date
import java.util.Enumeration
import java.util.concurrent.ConcurrentHashMap
import javax.crypto.KeyGenerator
import javax.crypto.KeyGeneratorSpi
import javax.crypto.SecretKey

/** The Keystore, in memory: a phone has one and Robolectric does not. */
class PhoneStandIns : Provider("AndroidKeyStore", "1", "stands in for a phone's") {
    init {
        put("KeyStore.AndroidKeyStore", Keys::class.java.name)
        put("KeyGenerator.AES", Generator::class.java.name)
    }

    companion object {
        /** Call this before the application is created. */
        fun install() {
            Security.addProvider(PhoneStandIns())
        }
    }
}

private val keys = ConcurrentHashMap<String, SecretKey>()

class Keys : KeyStoreSpi() {
    override fun engineLoad(stream: InputStream?, password: CharArray?) {}
    override fun engineGetKey(alias: String, password: CharArray?): Key? = keys[alias]
    override fun engineContainsAlias(alias: String): Boolean = keys.containsKey(alias)
    override fun engineIsKeyEntry(alias: String): Boolean = keys.containsKey(alias)
    override fun engineAliases(): Enumeration<String> = Collections.enumeration(keys.keys)
    override fun engineSize(): Int = keys.size
    override fun engineDeleteEntry(alias: String) {
        keys.remove(alias)
    }

    override fun engineIsCertificateEntry(alias: String): Boolean = false
    override fun engineGetCertificate(alias: String): Certificate? = null
    override fun engineGetCertificateChain(alias: String): Array<Certificate>? = null
    override fun engineGetCertificateAlias(certificate: Certificate): String? = null
    override fun engineGetCreationDate(alias: String): Date? = null
    override fun engineSetKeyEntry(alias: String, key: Key, password: CharArray?, chain: Array<Certificate>?) = error("not asked for")
    override fun engineSetKeyEntry(alias: String, key: ByteArray, chain: Array<Certificate>?) = error("not asked for")
    override fun engineSetCertificateEntry(alias: String, certificate: Certificate) = error("not asked for")
    override fun engineStore(stream: OutputStream, password: CharArray?) = error("not asked for")
}

class Generator : KeyGeneratorSpi() {
    private lateinit var asked: KeyGenParameterSpec

    override fun engineInit(parameters: AlgorithmParameterSpec, random: SecureRandom?) {
        asked = parameters as KeyGenParameterSpec
    }

    override fun engineInit(size: Int, random: SecureRandom?) = error("not asked for")
    override fun engineInit(random: SecureRandom?) = error("not asked for")
    override fun engineGenerateKey(): SecretKey =
        KeyGenerator.getInstance("AES", "SunJCE").apply { init(asked.keySize) }.generateKey().also { keys[asked.keystoreAlias] = it }
}
