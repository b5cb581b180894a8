package dev.sipwake.android

import android.content.Context
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import android.util.AtomicFile
import dev.sipwake.StateStore
import java.io.File
import java.io.FileNotFoundException
import java.security.KeyStore
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec

/**
 * Keeps records in files that only this app can read, encrypted under a key that never leaves the Android Keystore.
 *
 * The files lie where no backup takes them along: a binding belongs to one installation. The key needs no unlocked screen,
 * since pushes come while the phone is locked. A file that cannot be decrypted throws; the client then goes on without it.
 *
 * @param context any context of the app
 * @param keyAlias the key's name in the Keystore
 */
public class KeystoreStateStore @JvmOverloads constructor(
    context: Context,
    private val keyAlias: String = "dev.sipwake.state",
) : StateStore {
    private val sealed = SealedFiles(File(context.applicationContext.noBackupFilesDir, "sipwake"), ::key)

    override fun load(key: String): ByteArray? = sealed.load(key)

    override fun save(key: String, bytes: ByteArray): Unit = sealed.save(key, bytes)

    override fun remove(key: String): Unit = sealed.remove(key)

    @Synchronized
    private fun key(): SecretKey {
        val keystore = KeyStore.getInstance(KEYSTORE).apply { load(null) }
        (keystore.getKey(keyAlias, null) as SecretKey?)?.let { return it }
        val use = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        val spec = KeyGenParameterSpec.Builder(keyAlias, use)
            .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
            .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
            .setKeySize(KEY_BITS)
            .build()
        return KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, KEYSTORE).apply { init(spec) }.generateKey()
    }

    private companion object {
        const val KEYSTORE = "AndroidKeyStore"
        const val KEY_BITS = 256
    }
}

/** One file a record: a version, the nonce that the cipher chose, the ciphertext; bound to the record's name. */
internal class SealedFiles(private val folder: File, private val key: () -> SecretKey) {
    fun load(name: String): ByteArray? {
        val stored = try {
            file(name).readFully()
        } catch (_: FileNotFoundException) {
            return null
        }
        require(stored.size > HEADER && stored[0] == VERSION) { "not a record of this version" }
        val cipher = Cipher.getInstance(CIPHER)
        cipher.init(Cipher.DECRYPT_MODE, key(), GCMParameterSpec(TAG_BITS, stored, 1, NONCE))
        cipher.updateAAD(name.toByteArray())
        return cipher.doFinal(stored, HEADER, stored.size - HEADER)
    }

    fun save(name: String, bytes: ByteArray) {
        val cipher = Cipher.getInstance(CIPHER)
        cipher.init(Cipher.ENCRYPT_MODE, key())
        cipher.updateAAD(name.toByteArray())
        val ciphertext = cipher.doFinal(bytes)
        check(cipher.iv.size == NONCE) { "the cipher's nonce has another length" }
        folder.mkdirs()
        val file = file(name)
        val stream = file.startWrite()
        try {
            stream.write(byteArrayOf(VERSION) + cipher.iv + ciphertext)
            // Also syncs: what this record is about is sent right after.
            file.finishWrite(stream)
        } catch (failure: Exception) {
            file.failWrite(stream)
            throw failure
        }
    }

    fun remove(name: String): Unit = file(name).delete()

    private fun file(name: String): AtomicFile {
        require(name.isNotEmpty() && name.all { it in 'a'..'z' || it in '0'..'9' || it == '-' }) { "not a record's key" }
        return AtomicFile(File(folder, name))
    }

    private companion object {
        const val VERSION: Byte = 1
        const val CIPHER = "AES/GCM/NoPadding"
        const val NONCE = 12
        const val HEADER = 1 + NONCE
        const val TAG_BITS = 128
    }
}
